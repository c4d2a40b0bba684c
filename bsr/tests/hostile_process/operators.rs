//! What operators and their scripts may send to the control socket, and write into the configuration.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::program::{Program, eventually};
use crate::wire::small;
use crate::{addresses, victim};

fn control(node: &Program) -> UnixStream {
    let stream = UnixStream::connect(node.path("sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// The answer to this; the connection is closed behind it.
fn answer(node: &Program, request: &[u8]) -> String {
    let mut stream = control(node);
    // It may be closed before all of it is sent.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_no_request_is_answered_so() {
    let (node, _) = victim("");
    let before = node.resident();
    let deep = "[".repeat(100_000) + "\n";
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).chain([b'\n']).collect();
    for (request, words) in [
        (&b"\n"[..], "bad_request"),
        (b"hello\n", "bad_request"),
        (b"{}\n", "bad_request"),
        (b"{\"command\":\"status\",\"more\":1}\n", "unknown field"),
        (b"{\"command\":\"explode\"}\n", "unknown variant"),
        (b"{\"command\":\"status\"", "ends in the midst of its line"),
        (b"{\"command\":\"read\",\"offset\":-1,\"length\":1}\n", "bad_request"),
        (b"{\"command\":\"read\",\"offset\":0,\"length\":4294967295}\n", "are more than"),
        (b"{\"command\":\"write\",\"offset\":0,\"length\":4096}\nshort", "its 4096 bytes did not come"),
        (
            b"{\"command\":\"read\",\"offset\":18446744073709551104,\"length\":1024}\n",
            "not within the volume",
        ),
        (b"{\"command\":\"read\",\"offset\":1,\"length\":512}\n", "not in whole sectors"),
        (deep.as_bytes(), "bad_request"),
        (&binary, "bad_request"),
        (&vec![b'x'; 64 << 20], "has more than"),
    ] {
        let told = answer(&node, request);
        let begin = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert!(told.contains(words), "{begin:?} is answered {told:?}");
    }
    assert_eq!(node.done(&["check", "--seed", "3"]), "4194304 bytes are as filled\n");
    small(&node, before);
}

#[test]
fn a_thousand_clients_that_say_nothing() {
    let (node, _) = victim("");
    let (before, files) = (node.resident(), node.files());
    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..1000 {
        let mut client = control(&node);
        // Half a request; of some nobody takes the answer.
        let _ = client.write_all(b"{\"command\":\"sta");
        clients.push(client);
        refused += usize::from(node.files() < files + clients.len());
    }
    assert!(refused > 500 && node.files() < files + 300, "there is a limit");
    small(&node, before);
    drop(clients);
    assert!(eventually(|| node.run(&["status"]).status.success()), "there is room again");
}

#[test]
fn clients_that_take_no_answers() {
    let (node, _) = victim("");
    let before = node.resident();
    let clients: Vec<UnixStream> = (0..15)
        .map(|_| {
            let mut client = control(&node);
            client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            for _ in 0..200 {
                let _ = client.write_all(b"{\"command\":\"read\",\"offset\":0,\"length\":1048576}\n");
            }
            client
        })
        .collect();
    assert_eq!(node.done(&["check", "--seed", "3"]), "4194304 bytes are as filled\n");
    // What is under way for a client is bounded, so is their number; here 15 of them.
    assert!(node.resident() < before + (600 << 10), "{before} KiB were enough, not {}", node.resident());
    drop(clients);
}

#[test]
fn configurations_that_are_none() {
    let [here, there] = addresses();
    let node = Program::new(0, here, there, "");
    let good = fs::read_to_string(&node.config).unwrap();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "name"),
        (vec![0xff; 100], "utf-8"),
        (vec![0; 100], ""),
        (b"name = ".to_vec(), ""),
        (good.replace("name = ", "name = \"x\" #\n[").into_bytes(), ""),
        (good.replace("node-id = 0", "node-id = 1").into_bytes(), "node-id"),
        (good.replace(&here.to_string(), "nowhere").into_bytes(), "node.toml:7"),
        (good.replace("ping-int = 1", "ping-int = -1").into_bytes(), "node.toml:11"),
        (good.replace("ping-int = 1", "ping-int = 99999999999999999999").into_bytes(), "node.toml:11"),
        ([good.as_bytes(), b"resync-rate-of-light = 3\n"].concat(), "resync-rate-of-light"),
        ([good.as_bytes(), "x".repeat(1 << 20).as_bytes()].concat(), ""),
        ([good.as_bytes(), "[a]\n".repeat(1000).as_bytes()].concat(), ""),
        ("[".repeat(100_000).into_bytes(), ""),
        (format!("name = {}1{}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes(), ""),
    ];
    for (text, words) in cases {
        fs::write(&node.config, &text).unwrap();
        let complaint = node.complaint(&["up"]);
        assert!(complaint.contains(words), "{words}: {complaint}");
        assert!(complaint.len() < 2000, "{} bytes", complaint.len());
    }
    fs::remove_file(&node.config).unwrap();
    assert!(node.complaint(&["up"]).contains("node.toml"));
}
