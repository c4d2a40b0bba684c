//! What `drx-ctl --json` prints, and what it reads from a daemon of another version.

use drx_protocol::report::{ChannelReport, RelayReport};
use drx_protocol::{Role, Standing};
use insta::assert_snapshot;

use crate::{channel, connected, standing};

#[test]
fn json_is_stable_and_comes_back() {
    let mut waiting = standing(Role::Connector, Standing::Resuming);
    (waiting.link, waiting.rtt_seconds, waiting.remote_address) = (None, None, None);
    let mut resource = connected();
    resource.channels[1] = waiting;
    resource.trouble.push("cannot listen on 10.77.9.1:7780".to_owned());
    let relay = RelayReport {
        node: "node1".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_seconds: 12.5,
        resources: vec![resource],
    };
    let json = serde_json::to_string_pretty(&relay).unwrap();
    assert_eq!(serde_json::from_str::<RelayReport>(&json).unwrap(), relay);
    assert_snapshot!(json, @r#"
    {
      "node": "node1",
      "version": "0.1.0",
      "uptime_seconds": 12.5,
      "resources": [
        {
          "name": "r0",
          "remote": "node2",
          "local": "node1",
          "session": true,
          "situation": "everything is connected",
          "trouble": [
            "cannot listen on 10.77.9.1:7780"
          ],
          "restarts": 0,
          "channels": [
            {
              "connection": "r0-node2-node1",
              "role": "acceptor",
              "lane": 0,
              "channel_type": "data",
              "standing": "established",
              "link_up": true,
              "in_use": true,
              "link": "0123456789abcdef0123456789abcdef",
              "attempt": 4,
              "since_seconds": 192.0,
              "last_stop": null,
              "restarts": 0,
              "failures": 0,
              "bsr_address": "10.77.1.2:7789",
              "local_address": "10.77.1.1:7788",
              "remote_address": "10.77.9.2:7780",
              "bab": {
                "size": 67108864,
                "used": 0,
                "oldest_unacknowledged_seconds": null,
                "high_mark": 50331648,
                "dripping": false,
                "full_in_seconds": null
              },
              "rtt_seconds": 0.0512,
              "remote": "established",
              "bytes_out": 1073741824,
              "bytes_in": 4096,
              "compression": {
                "wanted": "none",
                "with": "none",
                "payload": 0,
                "wire": 0
              },
              "stale_frames": 0,
              "resumes": 0,
              "strays": 0,
              "held_pings": 0
            },
            {
              "connection": "r0-node2-node1",
              "role": "connector",
              "lane": 0,
              "channel_type": null,
              "standing": "resuming",
              "link_up": true,
              "in_use": true,
              "link": null,
              "attempt": 4,
              "since_seconds": 192.0,
              "last_stop": null,
              "restarts": 0,
              "failures": 0,
              "bsr_address": "10.77.1.2:7789",
              "local_address": "10.77.1.1:7788",
              "remote_address": null,
              "bab": {
                "size": 67108864,
                "used": 0,
                "oldest_unacknowledged_seconds": null,
                "high_mark": 50331648,
                "dripping": false,
                "full_in_seconds": null
              },
              "rtt_seconds": null,
              "remote": null,
              "bytes_out": 1073741824,
              "bytes_in": 4096,
              "compression": {
                "wanted": "none",
                "with": "none",
                "payload": 0,
                "wire": 0
              },
              "stale_frames": 0,
              "resumes": 0,
              "strays": 0,
              "held_pings": 0
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn json_of_a_newer_or_strange_relay() {
    let one = serde_json::to_value(channel(Role::Acceptor, None)).unwrap();
    let read = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut changed = one.clone();
        change(changed.as_object_mut().unwrap());
        serde_json::from_value::<ChannelReport>(changed).map_err(|error| error.to_string())
    };
    // What is new is skipped, what may be unknown may be missing.
    let added = read(&|fields| drop(fields.insert("colour".to_owned(), "green".into())));
    assert_eq!(added, Ok(channel(Role::Acceptor, None)));
    let lost = read(&|fields| drop(fields.remove("link"))).unwrap();
    assert_eq!(lost.link, None);

    for link in ["", "12", "+123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdeg"] {
        let error = read(&|fields| drop(fields.insert("link".to_owned(), link.into()))).unwrap_err();
        assert_eq!(error, format!("a link's name has 32 hex digits, not `{link}`"));
    }
    let error = read(&|fields| drop(fields.insert("standing".to_owned(), "lost".into()))).unwrap_err();
    assert_eq!(error, "no channel can be `lost`");
    let error = read(&|fields| drop(fields.insert("lane".to_owned(), 2.into()))).unwrap_err();
    assert_eq!(error, "lane 2 does not exist, there are lanes 0 and 1");
}
