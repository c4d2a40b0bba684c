//! The table of `drx-ctl connections`.

use drx_protocol::report::{ChannelReport, ResourceReport, connections_table};
use drx_protocol::{ChannelType, Lane, Role, Standing, State};
use insta::assert_snapshot;

use crate::{channel, connected, resource, standing};

/// The rows between the second and the third rule.
fn rows(table: &str) -> Vec<&str> {
    table.lines().skip(3).take_while(|line| !line.starts_with("---")).collect()
}

/// Both State columns of a single channel's row.
fn states(channel: ChannelReport) -> (String, String) {
    let table = connections_table(&[resource("r0", "node2", vec![channel])], false);
    let row = rows(&table)[0];
    assert!(row.starts_with("r0-node2-node1 ") && row.ends_with(" (remote-drx)"), "{row}");
    (row[33..47].to_owned(), row[61..75].to_owned())
}

#[test]
fn the_table_of_the_seed_byte_for_byte() {
    let expected = "\
-------------------------------------------------------------------------------------------
Name           Type local-bsr-ip State          local-drx-ip State          remote-drx-ip
-------------------------------------------------------------------------------------------
r0-node2-node1 data (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
r0-node2-node1 meta (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
-------------------------------------------------------------------------------------------
 All connections : 2, Established : 2
";
    assert_eq!(connections_table(&[connected()], false), expected);
}

#[test]
fn no_resource_is_an_empty_table() {
    assert_snapshot!(connections_table(&[], false), @r#"
    -------------------------------------------------------------------------------------------
    Name           Type local-bsr-ip State          local-drx-ip State          remote-drx-ip
    -------------------------------------------------------------------------------------------
    -------------------------------------------------------------------------------------------
     All connections : 0, Established : 0
    "#);
}

#[test]
fn every_standing_has_its_place() {
    let mut places = String::new();
    for role in Role::ALL {
        for one in Standing::ALL {
            if matches!(one, Standing::In(state) if !state.suits(role)) {
                continue;
            }
            for link_up in [true, false] {
                let (local, link) = states(ChannelReport { link_up, ..standing(role, one) });
                let link_is = if link_up { "up" } else { "" };
                places += &format!("{role:?} {one:<13} {link_is:<2} {local} {link}\n");
            }
        }
    }
    assert_snapshot!(places, @r#"
    Acceptor allocating    up -------------- <-allocating--
    Acceptor allocating       -------------- <-allocating--
    Acceptor bridging      up -------------- <-bridging----
    Acceptor bridging         -------------- <-bridging----
    Acceptor bridged       up -------------- <-bridged-----
    Acceptor bridged          -------------- <-bridged-----
    Acceptor waiting       up -----waiting-> <-bridged-----
    Acceptor waiting          -----waiting-> <-bridged-----
    Acceptor connected     up ---connected-> <-bridged-----
    Acceptor connected        ---connected-> <-bridged-----
    Acceptor establishing  up establishing-> <-bridged-----
    Acceptor establishing     establishing-> <-bridged-----
    Acceptor established   up -established-> <-bridged-----
    Acceptor established      -established-> <-bridged-----
    Acceptor close_pending up close_pending> <-bridged-----
    Acceptor close_pending    close_pending> <-resuming----
    Acceptor stopping      up ----stopping-> <-bridged-----
    Acceptor stopping         ----stopping-> --------------
    Acceptor stopped       up -----stopped-> <-bridged-----
    Acceptor stopped          -----stopped-> --------------
    Acceptor resuming      up -established-> <-resuming----
    Acceptor resuming         -established-> <-resuming----
    Acceptor failed        up ------failed-> --------------
    Acceptor failed           ------failed-> --------------
    Acceptor down          up --------down-> --------------
    Acceptor down             --------down-> --------------
    Connector allocating    up -------------- --allocating->
    Connector allocating       -------------- --allocating->
    Connector bridging      up -------------- ----bridging->
    Connector bridging         -------------- ----bridging->
    Connector bridged       up -------------- -----bridged->
    Connector bridged          -------------- -----bridged->
    Connector connecting    up <-connecting-- -----bridged->
    Connector connecting       <-connecting-- -----bridged->
    Connector establishing  up <-establishing -----bridged->
    Connector establishing     <-establishing -----bridged->
    Connector established   up <-established- -----bridged->
    Connector established      <-established- -----bridged->
    Connector close_pending up <close_pending -----bridged->
    Connector close_pending    <close_pending ----resuming->
    Connector stopping      up <-stopping---- -----bridged->
    Connector stopping         <-stopping---- --------------
    Connector stopped       up <-stopped----- -----bridged->
    Connector stopped          <-stopped----- --------------
    Connector resuming      up <-established- ----resuming->
    Connector resuming         <-established- ----resuming->
    Connector failed        up <-failed------ --------------
    Connector failed           <-failed------ --------------
    Connector down          up <-down-------- --------------
    Connector down             <-down-------- --------------
    "#);
}

#[test]
fn rows_stand_in_the_order_of_the_spec() {
    let lane_one = |channel| ChannelReport { lane: Lane::One, ..channel };
    let (data, meta) = (Some(ChannelType::Data), Some(ChannelType::Meta));
    let (acceptor, connector) = (Role::Acceptor, Role::Connector);
    let r1 = resource(
        "r1",
        "node2",
        vec![
            lane_one(channel(connector, None)),
            channel(connector, None),
            lane_one(channel(acceptor, None)),
            channel(acceptor, None),
            lane_one(channel(connector, meta)),
            lane_one(channel(acceptor, meta)),
            channel(acceptor, meta),
            channel(connector, data),
            lane_one(channel(acceptor, data)),
        ],
    );
    let mut shuffled = vec![r1, resource("r0", "node3", vec![channel(connector, None)]), connected()];
    let table = connections_table(&shuffled, false);
    assert_snapshot!(table, @r#"
    -------------------------------------------------------------------------------------------
    Name           Type local-bsr-ip State          local-drx-ip State          remote-drx-ip
    -------------------------------------------------------------------------------------------
    r0-node2-node1 data (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r0-node2-node1 meta (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    r0-node3-node1 -    (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    r1-node2-node1 data (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r1-node2-node1 data (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    r1-node2-node1 meta (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r1-node2-node1 meta (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r1-node2-node1 meta (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    r1-node2-node1 -    (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r1-node2-node1 -    (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r1-node2-node1 -    (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    r1-node2-node1 -    (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    -------------------------------------------------------------------------------------------
     All connections : 12, Established : 12
    "#);
    shuffled.reverse();
    assert_eq!(connections_table(&shuffled, false), table);
    let lanes = connections_table(&shuffled, true);
    let lanes: Vec<_> = rows(&lanes).into_iter().map(|row| row.split_whitespace().nth(7).unwrap()).collect();
    assert_eq!(lanes.join(" "), "0 0 0 1 0 0 1 1 0 1 0 1");
}

#[test]
fn an_idle_second_lane_is_shown_only_verbosely() {
    let mut resource = connected();
    let idle = ChannelReport { lane: Lane::One, in_use: false, ..standing(Role::Acceptor, State::Waiting) };
    resource.channels.push(idle);
    let footer = |resource: &ResourceReport, verbose| {
        let table = connections_table(std::slice::from_ref(resource), verbose);
        table.lines().last().unwrap().to_owned()
    };
    assert_eq!(footer(&resource, false), " All connections : 2, Established : 2");
    assert_eq!(footer(&resource, true), " All connections : 3, Established : 2");
    resource.channels[2].in_use = true;
    assert_eq!(footer(&resource, false), " All connections : 3, Established : 2");
    // Lane 0 is shown even with nothing on it.
    resource.channels[0].in_use = false;
    assert_eq!(footer(&resource, false), " All connections : 3, Established : 2");
}

#[test]
fn a_channel_being_resumed_counts_as_established() {
    let mut resource = connected();
    resource.channels[0].standing = Standing::Resuming;
    resource.channels[1].standing = State::ClosePending.into();
    let table = connections_table(&[resource], false);
    assert!(table.ends_with(" All connections : 2, Established : 1\n"), "{table}");
}

#[test]
fn long_names_widen_the_first_column() {
    let volume = resource("production-database", "node2", connected().channels);
    assert_snapshot!(connections_table(&[connected(), volume], false), @r#"
    ------------------------------------------------------------------------------------------------------------
    Name                            Type local-bsr-ip State          local-drx-ip State          remote-drx-ip
    ------------------------------------------------------------------------------------------------------------
    production-database-node2-node1 data (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    production-database-node2-node1 meta (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    r0-node2-node1                  data (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
    r0-node2-node1                  meta (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
    ------------------------------------------------------------------------------------------------------------
     All connections : 4, Established : 4
    "#);
}

#[test]
fn verbose_shows_addresses_and_history() {
    let mut resource = connected();
    resource.channels[0].last_stop = Some("the other DRX closed:\nlink \u{1b}[31mlost".to_owned());
    resource.channels[1].bsr_address = Some("[fd00:77:1::2]:7789".to_owned());
    resource.channels[1].since_seconds = 0.0042;
    let idle = ChannelReport {
        lane: Lane::One,
        in_use: false,
        attempt: 0,
        bsr_address: None,
        ..standing(Role::Acceptor, State::Waiting)
    };
    resource.channels.push(idle);
    assert_snapshot!(connections_table(&[resource], true), @r#"
    --------------------------------------------------------------------------------------------------------------------------------------------------------------
    Name           Type local-bsr-ip        State          local-drx-ip   State          remote-drx-ip  Lane Since  Attempt Last stop
    --------------------------------------------------------------------------------------------------------------------------------------------------------------
    r0-node2-node1 data 10.77.1.2:7789      -established-> 10.77.1.1:7788 <-bridged----- 10.77.9.2:7780 0    3m12s  4       the other DRX closed: link  [31mlost
    r0-node2-node1 meta [fd00:77:1::2]:7789 <-established- 10.77.1.1:7788 -----bridged-> 10.77.9.2:7780 0    4.2 ms 4       -
    r0-node2-node1 -    -                   -----waiting-> 10.77.1.1:7788 <-bridged----- 10.77.9.2:7780 1    3m12s  0       -
    --------------------------------------------------------------------------------------------------------------------------------------------------------------
     All connections : 3, Established : 2
    "#);
}
