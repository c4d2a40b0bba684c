#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn its_file_is_for_user_and_group_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/drx/drx.sock");
    let socket = ControlSocket::claim(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    UnixStream::connect(&path).unwrap();
    drop(socket);
    assert!(!path.exists());
    // And can be had again.
    drop(ControlSocket::claim(&path).unwrap());
}

#[test]
fn a_second_daemon_is_refused_and_disturbs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.sock");
    let _first = ControlSocket::claim(&path).unwrap();
    let refused = ControlSocket::claim(&path).unwrap_err();
    assert!(matches!(refused, ClaimError::Taken(_)), "{refused}");
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_daemon_without_our_lock_is_noticed_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let refused = ControlSocket::claim(&path).unwrap_err();
    assert!(matches!(refused, ClaimError::Taken(_)), "{refused}");
    assert!(path.exists());
    drop(listener);
    drop(ControlSocket::claim(&path).unwrap());
}

#[test]
fn a_stale_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists() && UnixStream::connect(&path).is_err());
    let _socket = ControlSocket::claim(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.sock");
    fs::write(&path, "precious").unwrap();
    let refused = ControlSocket::claim(&path).unwrap_err().to_string();
    assert!(refused.contains("is not a socket"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let link = dir.path().join("link.sock");
    symlink(&path, &link).unwrap();
    assert!(matches!(ControlSocket::claim(&link), Err(ClaimError::NotASocket(_))));
}

#[test]
fn another_ones_socket_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.sock");
    let socket = ControlSocket::claim(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(socket);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_place_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let path = dir.path().join("file/drx.sock");
    let refused = ControlSocket::claim(&path).unwrap_err().to_string();
    assert!(refused.starts_with("cannot make the directory of control socket"), "{refused}");
    assert!(refused.contains("file/drx.sock"), "{refused}");
}
