//! Resource files: how texts become trees, where things stand, and what files include.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use drx_config::resource_file::tree::{Statement, Word};
use drx_config::resource_file::{Reading, parse_text, print, read};

/// The words of a statement, quoted ones with quotes.
fn words(statement: &Statement) -> Vec<String> {
    let shown = |word: &Word| if word.quoted { format!("{:?}", word.text) } else { word.text.clone() };
    statement.words.iter().map(shown).collect()
}

fn messages(reading: &Reading) -> String {
    let messages = reading.faults.iter().map(|fault| reading.files.error(fault).to_string());
    messages.collect::<Vec<_>>().join("\n")
}

fn good(text: &str) -> Vec<Statement> {
    let reading = parse_text("r0.res", text);
    assert_eq!(messages(&reading), "");
    reading.statements
}

fn keywords(reading: &Reading) -> Vec<String> {
    reading.statements.iter().map(|statement| words(statement).join(" ")).collect()
}

#[test]
fn addresses_and_indexes_are_one_word() {
    let tree = good(
        r#"resource r0 { on node1 { address ipv6 [ fe80::1%eth0 ] : 7789; meta-disk "/dev/sd b" [ 0 ]; }
           connection { host node1 address 10.0.0.1 : 7789 via proxy on node1 "node 2" { inside ipv4 127.0.0.1:1; } } }"#,
    );
    let [on, connection] = tree[0].statements() else { panic!("{tree:?}") };
    assert_eq!(words(&on.statements()[0]), ["address", "ipv6", "[fe80::1%eth0]:7789"]);
    assert_eq!(words(&on.statements()[1]), ["meta-disk", "\"/dev/sd b\"", "[0]"]);
    let host = &connection.statements()[0];
    let expected = ["host", "node1", "address", "10.0.0.1:7789", "via", "proxy", "on", "node1", "\"node 2\""];
    assert_eq!(words(host), expected);
    assert_eq!(words(&host.statements()[0]), ["inside", "ipv4", "127.0.0.1:1"]);
}

#[test]
fn a_plugin_has_every_word_and_sign() {
    let tree = good(r#"resource r0 { proxy { plugin { lzma contexts 4,5 "a b" [x]:1 50%; } } }"#);
    let plugin = &tree[0].statements()[0].statements()[0];
    let line = words(&plugin.statements()[0]);
    assert_eq!(line, ["lzma", "contexts", "4", ",", "5", "\"a b\"", "[", "x", "]", ":", "1", "50", "%"]);
}

/// As bsradm reads it is only what drbdadm cannot read on its line.
#[test]
fn quotes() {
    let tree = good("common { handlers { a \"b \\\"c\\\" \\\\ \\d\"; e \"C:\\\";\n\"f\" g; } }");
    let handlers = &tree[0].statements()[0];
    let shown: Vec<_> = handlers.statements().iter().map(|one| one.arguments()[0].text.clone()).collect();
    assert_eq!(shown, ["b \"c\" \\ d", "C:\\", "g"]);
}

#[test]
fn a_word_knows_its_place() {
    let text = "# ä\nresource r0 {\n\ton node1 { address 10.0.0.1\n:7789; }\n}\n";
    let reading = parse_text("r0.res", text);
    let address = &reading.statements[0].statements()[0].statements()[0].words[1];
    assert_eq!(&text[address.span.start..address.span.end], "10.0.0.1\n:7789");
    assert_eq!(reading.files.place(address.span).to_string(), "r0.res:3:21");
}

/// What is wrong with one statement is no matter for the others, and a broken one is still there.
#[test]
fn a_tree_in_spite_of_errors() {
    let text = "resource r0 {\n  on node1 {\n    address 10.0.0.1;\n    proxy on node1 {\n      inside 127.0.0.1:1\n      \
                outside 127.0.0.1:2;\n    }\n  on node2 { adress 10.0.0.2:7789; }\n}\n";
    let reading = parse_text("r0.res", text);
    let expected = "r0.res:3:21: resource r0 > on node1 > address: `;` stands where `:PORT` belongs; \
                    write address ADDRESS:PORT;
    address 10.0.0.1;
                    ^
r0.res:5:25: resource r0 > on node1 > proxy on node1 > inside: no `;` closes this statement; write one here
      inside 127.0.0.1:1
                        ^
r0.res:8:3: resource r0 > on node1 > on: cannot stand in `on node1`, which is still open; \
                    close `on node1` with `}` before it
  on node2 { adress 10.0.0.2:7789; }
  ^
r0.res:8:14: resource r0 > on node2 > adress: is unknown here; did you mean address?
  on node2 { adress 10.0.0.2:7789; }
             ^";
    assert_eq!(messages(&reading), expected);
    let [node1, node2] = reading.statements[0].statements() else { panic!("{:?}", reading.statements) };
    assert_eq!(node1.statements()[1].statements().len(), 2);
    assert_eq!(words(&node2.statements()[0]), ["adress", "10.0.0.2:7789"]);
    assert!(reading.is_faulty(&node1.statements()[0]));
    assert!(reading.is_faulty(&node2.statements()[0]));
    assert!(!reading.is_faulty(&node1.statements()[1].statements()[1]));
}

#[test]
fn files_include_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("r.d")).unwrap();
    write(
        "drbd.conf",
        "include \"r.d/*.res\";\ncommon { }\ninclude \"r.d/none-*.res\";\ninclude \"again.conf\";\n",
    );
    write("again.conf", "include \"drbd.conf\"; include r.d/a.res; resource last { }\n");
    write("r.d/b.res", "resource b { }");
    write("r.d/a.res", "include \"../again.conf\"; resource a { }");
    write("r.d/.hidden.res", "this is not read");
    write("r.d/other", "nor is this");
    let reading = read(&folder.path().join("drbd.conf")).unwrap();
    assert_eq!(messages(&reading), "");
    assert_eq!(keywords(&reading), ["resource last", "resource a", "resource b", "common"]);
    let names: Vec<_> = reading.files.names().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["drbd.conf", "a.res", "again.conf", "b.res"]);
    // A second root that was read already adds nothing.
    let mut reading = reading;
    reading.read(&folder.path().join("r.d/../r.d/b.res")).unwrap();
    assert_eq!(reading.statements.len(), 4);
}

/// As the tools have it: beside the name that a link has, not beside the file.
#[test]
fn an_included_link_includes_from_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("a")).unwrap();
    fs::create_dir(path("b[1]")).unwrap();
    fs::write(path("b[1]/x.res"), "include \"*y.res\";").unwrap();
    std::os::unix::fs::symlink("../b[1]/x.res", path("a/x.res")).unwrap();
    fs::write(path("a/y.res"), "resource beside-the-link { }").unwrap();
    fs::write(path("b[1]/y.res"), "resource beside-the-file { }").unwrap();
    assert_eq!(keywords(&read(&path("a/x.res")).unwrap()), ["resource beside-the-link"]);
    // A folder's name is no pattern.
    assert_eq!(keywords(&read(&path("b[1]/x.res")).unwrap()), ["resource beside-the-file"]);
}

#[test]
fn what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(read(&path("none.res")).unwrap_err().starts_with("cannot be read: "));
    assert_eq!(read(folder.path()).unwrap_err(), "is no regular file");
    assert_eq!(read(Path::new("/dev/zero")).unwrap_err(), "is no regular file");
    // Nobody writes to it: to read it would be to wait.
    let pipe = path("pipe.res");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(read(&pipe).unwrap_err(), "is no regular file");
    fs::File::create(path("large.res")).unwrap().set_len((16 << 20) + 1).unwrap();
    assert_eq!(read(&path("large.res")).unwrap_err(), "is larger than 16MiB");

    fs::write(path("root.res"), "include \"*.res\";\ninclude \"none\";\n").unwrap();
    let reading = read(&path("root.res")).unwrap();
    let said: Vec<_> = reading.faults.iter().map(|fault| (fault.span.start, fault.wrong.clone())).collect();
    let name = |name: &str| format!("\"{}\"", path(name).display());
    let missing = format!("{} cannot be read: No such file or directory (os error 2)", name("none"));
    let expected = [
        (8, format!("{} is larger than 16MiB", name("large.res"))),
        (8, format!("{} is no regular file", name("pipe.res"))),
        (25, missing),
    ];
    assert_eq!(said, expected);
}

#[test]
fn depth_and_number_have_limits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for number in 0..40 {
        let next = format!("include \"{}.res\"; resource r{number} {{ }}", number + 1);
        fs::write(path(&format!("{number}.res")), next).unwrap();
    }
    let reading = read(&path("0.res")).unwrap();
    assert_eq!(reading.statements.len(), 17);
    let [fault] = &reading.faults[..] else { panic!("{}", messages(&reading)) };
    assert_eq!(fault.wrong, "this is the 17th file that includes the next one");

    // Half of what may be read of everything, in one file; the second one is too much.
    fs::write(path("words.res"), "skip a { b b b b b b b }\n".repeat(60_000)).unwrap();
    let mut reading = read(&path("words.res")).unwrap();
    assert_eq!(messages(&reading), "");
    fs::copy(path("words.res"), path("more.res")).unwrap();
    reading.read(&path("more.res")).unwrap();
    let [fault] = &reading.faults[..] else { panic!("{}", messages(&reading)) };
    assert_eq!(fault.wrong, "this is too much");
}

#[test]
fn errors_have_a_limit() {
    let text = "resource r0 { on a { address; } }\n".repeat(500);
    let reading = parse_text("r0.res", &text);
    assert_eq!(reading.faults.len(), 101);
    assert_eq!(reading.faults[100].wrong, "too much of this is no resource file");

    let deep = "a { ".repeat(100_000);
    let reading = parse_text("r0.res", &format!("resource r0 {{ {deep}"));
    assert_eq!(reading.faults[0].wrong, "too many braces are open");
    assert_eq!(reading.faults.len(), 1);

    // One line of a megabyte: each error shows a piece of it.
    let reading = parse_text("r0.res", &"resource r0 { foo } ".repeat(50_000));
    assert!(messages(&reading).len() < 101 * 500);
}

/// No text is looked through again and again: each of these takes a fraction of a second.
#[test]
fn long_lines_take_no_hours() {
    let pieces = [
        "{",
        "}",
        "[",
        ":",
        "\"",
        "\"\\",
        "\"a\\\" ",
        "\"\n",
        "@ ",
        "[a% ",
        "on a{} ",
        "resource a{} ",
        "skip a{",
    ];
    for piece in pieces {
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let reading = parse_text("r0.res", &piece.repeat((1 << 20) / piece.len()));
            done.send(messages(&reading).len() + print(&reading.statements).len())
        });
        wait.recv_timeout(std::time::Duration::from_secs(120)).unwrap_or_else(|_| panic!("{piece}"));
    }
}

/// The tools look at bytes: an old file may hold anything in its comments and quotes.
#[test]
fn other_encodings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r0.res");
    fs::write(&path, b"# M\xfcnchen\nresource r0 { disk \"/dev/gr\xf6\xdfe\"; }\n").unwrap();
    let reading = read(&path).unwrap();
    assert_eq!(messages(&reading), "");
    assert_eq!(reading.statements[0].statements()[0].words[1].text, "/dev/gr\u{fffd}\u{fffd}e");
    fs::write(&path, b"resource r0 { disk /dev/gr\xf6\xdfe; }\n").unwrap();
    assert_eq!(read(&path).unwrap().faults.len(), 1);
    let utf16: Vec<u8> = "resource r0 { }".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(&path, utf16).unwrap();
    assert!(messages(&read(&path).unwrap()).contains("control character U+0000"));
}

#[test]
fn what_is_printed() {
    let text = "common{net{protocol A;}} resource \"r 0\"{on a b{address ipv6[::1]:1;}skip x { y } }";
    let expected = r#"common {
    net {
        protocol A;
    }
}
resource "r 0" {
    on a b {
        address ipv6 [::1]:1;
    }
    skip x {
    }
}
"#;
    assert_eq!(print(&good(text)), expected);
    // What no file can hold.
    let made = Word { text: "a\nb\"".to_owned(), quoted: false, span: Default::default() };
    let statement = Statement { words: vec![made], body: None };
    assert_eq!(print(&[statement]), "\"a b\\\"\";\n");
}

/// Messages are printed, logged, and sent to others for advice.
#[test]
fn no_message_shows_a_secret() {
    for text in [
        "resource r0 { net { shared-secret \"hunter2\" cram-hmac-alg sha1; } }",
        "resource r0 {\n net {\n  shared-secret \"hunter2;\n }\n}\n",
        "resource r0 {\n net {\n  shared-secret hunter2!hunter2;\n }\n}\n",
        "resource r0 {\n net {\n  shared-secret hunter2\n }\n}\n",
        "resource r0 { net { shared-secret \"hunter\\\"hunter2\"; timeout 60 70; ping-int x y; } }",
        "resource r0 { net { timeout 60 70; shared-secret\t\"hunter2\";  } }",
        "resource r0 { net { shared-secret # here\n  timeout 60 70; \"hunter\"; } }",
    ] {
        let reading = parse_text("r0.res", text);
        assert_ne!(reading.faults, [], "{text}");
        let messages: Vec<_> =
            reading.faults.iter().map(|fault| reading.files.error(fault).to_string()).collect();
        assert!(!messages.concat().contains("hunter2"), "{}", messages.join("\n"));
    }
    let reading = parse_text("r0.res", "resource r0 { net { shared-secret \"hunter2\"; timeout 60 70; } }");
    assert_eq!(
        reading.files.error(&reading.faults[0]).to_string(),
        "r0.res:1:57: resource r0 > net > timeout: `70` is one word too many; write timeout VALUE;\n\
         resource r0 { net { shared-secret \"*******\"; timeout 60 70; } }\n\
         \u{20}                                                       ^"
    );
}

/// A file may be one line: where in it something stands is told without going through all of it.
#[test]
fn places_are_told_on_one_long_line() {
    let resource = |number: usize| format!("resource \"r-ü-{number}\" {{ é{number} x; }} ");
    let text: String = (0..4000).map(resource).collect();
    let reading = parse_text("r0.res", &text);
    assert!(reading.faults.len() > 50);
    for fault in &reading.faults {
        let shown = reading.files.error(fault).to_string();
        let column = text[..fault.span.start].chars().count() + 1;
        assert!(shown.starts_with(&format!("r0.res:1:{column}: ")), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let marked = lines[2].chars().count() - 1;
        let there: String = lines[1].chars().skip(marked).collect();
        assert!(!there.is_empty() && text[fault.span.start..].starts_with(&there), "{shown}");
    }
}
