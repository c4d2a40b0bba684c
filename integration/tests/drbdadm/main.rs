//! The real `drbdadm` of drbd-utils against a real `drxd`: `proxy-up`, `proxy-down` and `adjust` of resource files.
//! Where it is not installed its tests are skipped, and say so; with `REQUIRE_TOOLS=1` that is a failure.
//!
//! `adjust` wants to know what the kernel has. Here no kernel has anything: what it asks `drbdsetup` is answered by a
//! file, and everything else it does as always.
#![allow(clippy::unwrap_used)]

mod host;

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::Output;

use drx_bsr::shell::control::Request;
use drx_integration::block::Block;
use drx_integration::node::{Peer, Told};
use drx_integration::programs::bsr_proxy_ctl;
use drx_integration::wait::{LIMIT, until_ok};

use host::{Host, NAME, Tool, Words};

#[test]
fn proxy_up_and_down_in_either_style() {
    for tool in Tool::ALL {
        let (host, words) = (Host::with(tool, "node1"), Words::for_tool(tool));
        let mut cases: Vec<(String, &[&str])> = vec![
            (words.old("", ""), &["memlimit r0-node2-node1 64M"]),
            (
                words.old("proxy { memlimit 500M; plugin { zstd level 4; } }", ""),
                &[
                    "memlimit r0-node2-node1 500M",
                    "plugin r0-node2-node1 0 zstd level 4",
                    "plugin r0-node2-node1 1 END",
                ],
            ),
        ];
        if tool == Tool::Nine {
            cases.push((words.new_style("", ""), &["memlimit r0-node2-node1 64M"]));
            cases.push((
                words.new_style("proxy { memlimit 500M; }", "memlimit 1G; plugin { zlib level 9; }"),
                &[
                    "memlimit r0-node2-node1 1G",
                    "plugin r0-node2-node1 0 zlib level 9",
                    "plugin r0-node2-node1 1 END",
                ],
            ));
            cases.push((
                words.old(
                    "",
                    "memlimit 100000k; sndbuf-size 10M; rcvbuf-size 5M; ping-timeout 60; plugin { lz4; }",
                ),
                &[
                    "memlimit r0-node2-node1 100000K",
                    "sndbuf-size r0-node2-node1 10M",
                    "rcvbuf-size r0-node2-node1 5M",
                    "ping-timeout r0-node2-node1 60",
                    "plugin r0-node2-node1 0 lz4",
                    "plugin r0-node2-node1 1 END",
                ],
            ));
        }
        for (file, settings) in cases {
            host.file(&file);
            if up_and_down(&host, &words.shown(settings)).is_none() {
                break;
            }
        }
    }
}

/// Both twice: the second time nothing happens.
fn up_and_down(host: &Host, shown: &str) -> Option<()> {
    let lines = host.relay.log_lines();
    host.adm(&["proxy-up", "r0"])?;
    assert_eq!(host.ctl("show"), shown);
    host.relay.until_logged(lines, &["adding a connection", NAME]);
    host.settle();
    let lines = host.relay.log_lines();
    host.adm(&["proxy-up", "r0"]).unwrap();
    assert_eq!(host.ctl("show"), shown);
    host.settle();
    assert_eq!(host.log_since(lines), [""; 0]);
    let table = String::from_utf8(host.relay.ctl(&["connections"]).stdout).unwrap();
    assert_eq!(table.matches(NAME).count(), 2, "{table}");
    for _ in 0..2 {
        host.adm(&["proxy-down", "r0"]).unwrap();
        assert_eq!(host.ctl("show"), "");
    }
    Some(())
}

/// The other program's name, by the option that bsradm and drbdadm have for it.
#[test]
fn the_option_names_the_program() {
    let (host, words) = (Host::new("node1"), Words::new());
    host.file(&words.old("", ""));
    let ours = bsr_proxy_ctl().display().to_string();
    if host.adm(&["--drbd-proxy-ctl", &ours, "proxy-up", "r0"]).is_some() {
        assert!(host.ctl("show").starts_with(&words.shown(&[])));
    }
}

#[test]
fn ipv6_addresses_have_no_brackets() {
    let host = Host::new("node1");
    let port = || TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    // Held together, so that they differ; nothing has to be free when they are used: the relay tries again.
    let [bsr, inside, outside]: [SocketAddr; 3] = {
        let held = [(); 3].map(|()| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap());
        held.map(|listener| listener.local_addr().unwrap())
    };
    let peer = SocketAddr::new("2001:db8::2".parse().unwrap(), port().port());
    host.file(&format!(
        "resource r0 {{ device /dev/drbd1; disk /dev/sda1; meta-disk internal;\n\
         on node1 {{ address ipv6 {bsr}; proxy on node1 {{ inside ipv6 {inside}; outside ipv6 {outside}; }} }}\n\
         on node2 {{ address ipv6 {peer}; proxy on node2 {{ inside ipv6 {peer}; outside ipv6 {peer}; }} }} }}\n"
    ));
    if host.adm(&["proxy-up", "r0"]).is_some() {
        let add = format!("add connection {NAME} {inside} {peer} {outside} {bsr}\nset memlimit {NAME} 64M\n");
        assert_eq!(host.ctl("show"), add);
    }
}

#[test]
fn a_resource_with_two_peers_is_two_connections() {
    let (host, block) = (Host::new("node1"), Block::take());
    let at = |host, port| block.address(host, port);
    let on =
        |number: u8| format!("on node{number} {{ node-id {number}; address {}; }}\n", at(10 + number, 7789));
    let via = |number: u8, port: u16, options: &str| {
        let (bsr, inside, outside) = (at(10 + number, port + 2000), at(number, port), at(20 + number, 7780));
        format!(
            "host node{number} address {bsr} via proxy on node{number} {{ inside {inside}; \
             outside {outside}; {options} }}\n"
        )
    };
    let file = |second: &str| {
        format!(
            "resource r0 {{ net {{ protocol A; }} device /dev/drbd1; disk /dev/sda1; meta-disk internal; \
             proxy {{ memlimit 100M; }}\n{}{}{}connection {{ {}{} }}\nconnection {{ {}{} }}\n\
             connection {{ host node2; host node3; }} }}\n",
            on(1),
            on(2),
            on(3),
            via(1, 7788, ""),
            via(2, 7788, ""),
            via(1, 7798, second),
            via(3, 7788, "")
        )
    };
    host.file(&file("options { memlimit 200M; }"));
    // Before anybody listens: a place in the block is one that is free.
    let [outside, two, three] = [at(21, 7780), at(22, 7780), at(23, 7780)];
    let shown = format!(
        "add connection r0-node2-node1 {} {two} {outside} {}\nset memlimit r0-node2-node1 100M\n\
         add connection r0-node3-node1 {} {three} {outside} {}\nset memlimit r0-node3-node1 200M\n",
        at(1, 7788),
        at(11, 9788),
        at(1, 7798),
        at(11, 9798)
    );
    if host.adm(&["proxy-up", "r0"]).is_none() {
        return;
    }
    assert_eq!(host.ctl("show"), shown);
    host.adm(&["proxy-down", "r0:node3"]).unwrap();
    assert_eq!(host.ctl("show").lines().count(), 2);
    host.adm(&["proxy-up", "r0"]).unwrap();
    assert_eq!(host.ctl("show"), shown);
}

#[test]
fn adjust_does_what_differs_and_no_more() {
    for tool in Tool::ALL {
        adjust_with(tool);
    }
}

fn adjust_with(tool: Tool) {
    let (host, words) = (Host::with(tool, "node1"), Words::for_tool(tool));
    let file = |memlimit: &str, plugins: &str| {
        host.file(&words.old(&format!("proxy {{ {memlimit} {plugins} }}"), ""))
    };
    file("memlimit 128M;", "plugin { zstd level 4; }");
    if host.adm(&["proxy-up", "r0"]).is_none() {
        return;
    }
    host.kernel(&words.kernel());
    // What is in force after an adjust, and what the relay had to log for it.
    let adjust = || {
        host.settle();
        let lines = host.relay.log_lines();
        host.adm(&["adjust", "r0"]).unwrap();
        host.settle();
        let shown = host.ctl("show");
        let settings = shown.lines().skip(1).collect::<Vec<_>>().join("; ").replace(&format!(" {NAME}"), "");
        (settings, host.log_since(lines))
    };
    let same = "set memlimit 128M; set plugin 0 zstd level 4; set plugin 1 END";
    assert_eq!(adjust(), (same.to_owned(), vec![]), "nothing differs");
    // drbdadm lets 2 % pass.
    file("memlimit 130M;", "plugin { zstd level 4; }");
    assert_eq!(adjust(), (same.to_owned(), vec![]));

    // It makes the connection anew for a new size.
    file("memlimit 96M;", "plugin { zstd level 4; }");
    let (shown, told) = adjust();
    assert_eq!(shown, "set memlimit 96M; set plugin 0 zstd level 4; set plugin 1 END");
    let has = |word: &str| told.iter().any(|line| line.contains(word));
    assert!(has("removed a connection") && has("adding a connection"), "{told:#?}");
    assert_eq!(adjust().1.len(), 0);

    // A plugin is changed, joined by another, moved, dropped, and all of them are.
    for (plugins, shown) in [
        ("plugin { zstd level 9; }", "set memlimit 96M; set plugin 0 zstd level 9; set plugin 1 END"),
        (
            "plugin { lz4; zstd level 9; }",
            "set memlimit 96M; set plugin 0 zstd level 9; set plugin 1 lz4; set plugin 2 END",
        ),
        (
            "plugin { zstd level 9; lz4; }",
            "set memlimit 96M; set plugin 0 lz4; set plugin 1 zstd level 9; set plugin 2 END",
        ),
        ("plugin { lz4; }", "set memlimit 96M; set plugin 0 lz4; set plugin 1 END"),
        ("", "set memlimit 96M"),
        ("plugin { zlib level 3; }", "set memlimit 96M; set plugin 0 zlib level 3; set plugin 1 END"),
    ] {
        file("memlimit 96M;", plugins);
        assert_eq!(adjust().0, shown, "{plugins}");
        assert_eq!(adjust(), (shown.to_owned(), vec![]), "nothing differs any more: {plugins}");
    }

    // What was taken down comes up; DRBD 8.4's leaves it down. What the file does not say is left alone.
    host.adm(&["proxy-down", "r0"]).unwrap();
    let up = "set memlimit 96M; set plugin 0 zlib level 3; set plugin 1 END";
    assert_eq!(adjust().0, if tool == Tool::Nine { up } else { "" });
    host.adm(&["proxy-up", "r0"]).unwrap();
    assert_eq!(adjust().0, up);
    file("", "plugin { zlib level 3; }");
    assert_eq!(adjust().1.len(), 0);
    host.ctl(&format!("set sndbuf-size {NAME} 10M"));
    assert_eq!(adjust().1.len(), 0, "it reads an answer with options");
}

/// What stops a proxy-up is said in a line of ours, and drbdadm fails.
#[test]
fn what_goes_wrong_is_said() {
    let (mut host, words) = (Host::new("node1"), Words::new());
    host.file(&words.old("proxy { memlimit 500M; plugin { lz4; } }", ""));
    host.relay.hang();
    let hung = host.drbdadm(&["proxy-up", "r0"]);
    host.relay.go_on();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let Some(hung) = hung else { return };
    assert!(!hung.status.success() && said(&hung).contains("did not answer within 4.5s"), "{hung:?}");
    assert!(!said(&hung).contains("did not terminate"), "drbdadm need not lose its patience: {hung:?}");
    host.adm(&["proxy-down", "r0"]).unwrap();

    host.file(&words.old("proxy { memlimit 2T; }", "").replace("2T", "2000000G"));
    let large = host.drbdadm(&["proxy-up", "r0"]).unwrap();
    assert!(!large.status.success() && said(&large).contains("too large"), "{large:?}");
    host.adm(&["proxy-down", "r0"]).unwrap();

    host.file(&words.old("", ""));
    host.adm(&["proxy-up", "r0"]).unwrap();
    let moved =
        words.old("", "").replace(&words.places[0].inside.to_string(), &words.places[1].inside.to_string());
    host.file(&moved);
    let refused = host.drbdadm(&["proxy-up", "r0"]).unwrap();
    assert!(!refused.status.success() && said(&refused).contains(NAME), "{refused:?}");

    host.relay.kill();
    let nobody = host.drbdadm(&["proxy-up", "r0"]).unwrap();
    assert!(!nobody.status.success() && said(&nobody).contains("no daemon answers on"), "{nobody:?}");
    assert_eq!(said(&nobody).matches("drbd-proxy-ctl: ").count(), 1, "{nobody:?}");
}

/// `proxy-up` gives the whole name of a connection, and each host takes it apart as it can: they find each other.
#[test]
fn host_names_may_hold_dashes() {
    for (first, second) in [("site-a", "site-b"), ("db-a-1", "node2")] {
        let words = Words::new();
        let hosts = [Host::new(first), Host::new(second)];
        for host in &hosts {
            host.file(&words.old("", "").replace("node1", first).replace("node2", second));
            if host.adm(&["proxy-up", "r0"]).is_none() {
                return;
            }
        }
        for host in &hosts {
            until_ok(LIMIT, || {
                let shown = host.ctl("show connections");
                if shown.contains("\tProxyConnected\t") { Ok(()) } else { Err(shown) }
            });
        }
    }
}

/// Two relays that are told of nothing, and two nodes that replicate through what `proxy-up` adds.
#[test]
fn proxy_up_is_all_that_two_nodes_need() {
    let (one, two, words) = (Host::new("node1"), Host::new("node2"), Words::new());
    let hosts = [&one, &two];
    let file = |memlimit: &str| {
        let file =
            words.new_style(&format!("proxy {{ memlimit {memlimit}; plugin {{ zstd level 4; }} }}"), "");
        hosts.iter().for_each(|host| host.file(&file));
    };
    file("64M");
    for host in hosts {
        if host.adm(&["proxy-up", "r0"]).is_none() {
            return;
        }
    }
    let nodes = [0, 1].map(|side: usize| {
        let places = &words.places[side];
        let number = u32::try_from(side).unwrap();
        let mut node = Peer::new(&Told {
            name: places.node.clone(),
            ids: Some((number, 1 - number)),
            address: places.bsr,
            peer: places.inside,
            verify_ip: true,
            bytes: 4 << 20,
            net: "protocol = \"C\"\nconnect-int = 1".to_owned(),
            disk: "c-max-rate = 0".to_owned(),
        });
        node.start();
        node
    });
    let connected = |host: &&Host| {
        until_ok(LIMIT, || {
            let shown = host.ctl("show connections");
            let row = shown.lines().nth(1).unwrap_or_default();
            let status = row.split('\t').nth(1).unwrap_or_default();
            if status == "Connected" { Ok(()) } else { Err(format!("{}: {shown}", host.name)) }
        });
        let table = String::from_utf8(host.relay.ctl(&["connections", "all"]).stdout).unwrap();
        assert!(table.contains("All connections : 2, Established : 2"), "{table}");
    };
    hosts.iter().for_each(connected);
    for node in &nodes {
        node.until("connected", |report| report.connection == "Connected");
    }
    assert_eq!(nodes[0].order(&Request::Primary { force: true }), Ok(()));
    for node in &nodes {
        node.until("good", |report| report.disk == "UpToDate" && report.peer_disk == "UpToDate");
    }
    // What went through is in the figures.
    let sent: u64 =
        one.ctl("show connections").lines().nth(1).unwrap().split('\t').nth(2).unwrap().parse().unwrap();
    assert!(sent >= 4 << 20, "{sent}");

    // Down on one side is down for both nodes, and up again is up again.
    two.adm(&["proxy-down", "r0"]).unwrap();
    for node in &nodes {
        node.until("cut off", |report| report.connection != "Connected");
    }
    assert_eq!(two.ctl("show"), "");
    two.adm(&["proxy-up", "r0"]).unwrap();
    hosts.iter().for_each(connected);
    // A new size by adjust is a new connection, and both nodes are there again.
    one.kernel(&words.kernel());
    file("128M");
    one.adm(&["adjust", "r0"]).unwrap();
    assert!(one.ctl("show").contains(&format!("set memlimit {NAME} 128M\n")));
    hosts.iter().for_each(connected);
    for node in &nodes {
        node.until("connected", |report| report.connection == "Connected");
    }
}
