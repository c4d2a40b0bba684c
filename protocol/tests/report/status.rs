//! The text of `drx-ctl status`.

use drx_protocol::codec::Compression;
use drx_protocol::report::{ChannelReport, CompressionReport, ResourceReport, status_text};
use drx_protocol::{Lane, Role, Standing, State};
use insta::assert_snapshot;

use crate::{channel, connected, resource, standing};

#[test]
fn status_of_a_healthy_resource() {
    assert_snapshot!(status_text(&connected()), @r#"
    r0-node2-node1: everything is connected
      session: whole, restarts: 0

      acceptor 0   data  local bsr -established-> local DRX <-bridged----- remote DRX -established-> remote bsr
      connector 0  meta  local bsr <-established- local DRX -----bridged-> remote DRX <-established- remote bsr

      channel      type  state          since     attempt  RTT       BAB                           oldest unacknowledged  restarts  failures
      acceptor 0   data  established    3m12s     4        51.2 ms   0 B of 64.0 MiB (0 %)         -                      0         0
      connector 0  meta  established    3m12s     4        51.2 ms   0 B of 64.0 MiB (0 %)         -                      0         0
    "#);
}

#[test]
fn status_of_a_resource_in_trouble() {
    let mut resource = connected();
    resource.session = false;
    resource.situation = "the local bsr is connected; the remote DRX cannot reach the remote bsr".to_owned();
    resource.trouble = vec!["cannot listen on 10.77.9.1:7780: address in use".to_owned()];
    resource.restarts = 7;
    let data = &mut resource.channels[0];
    data.standing = State::ClosePending.into();
    data.link_up = false;
    data.remote = None;
    data.rtt_seconds = None;
    data.bab.used = (12 << 20) + 1;
    data.bab.oldest_unacknowledged_seconds = Some(1.24);
    let connector = &mut resource.channels[1];
    connector.channel_type = None;
    connector.standing = State::Connecting.into();
    connector.remote = Some(State::Waiting.into());
    connector.bab.size = 0;
    connector.restarts = 7;
    connector.failures = 2;
    let idle = ChannelReport { lane: Lane::One, in_use: false, ..standing(Role::Acceptor, State::Waiting) };
    resource.channels.push(idle);
    assert_snapshot!(status_text(&resource), @r#"
    r0-node2-node1: the local bsr is connected; the remote DRX cannot reach the remote bsr
      trouble: cannot listen on 10.77.9.1:7780: address in use
      session: none, restarts: 7

      acceptor 0   data  local bsr close_pending> local DRX <-resuming---- remote DRX  (not known)   remote bsr
      connector 0  -     local bsr <-connecting-- local DRX -----bridged-> remote DRX <-waiting----- remote bsr

      channel      type  state          since     attempt  RTT       BAB                           oldest unacknowledged  restarts  failures
      acceptor 0   data  close_pending  3m12s     4        -         12.0 MiB of 64.0 MiB (19 %)   1.2 s                  0         0
      connector 0  -     connecting     3m12s     4        51.2 ms   -                             -                      7         2
    "#);
}

#[test]
fn status_shows_what_the_other_drx_tells_of_its_bsr() {
    let mut shown = String::new();
    for role in Role::ALL {
        for remote in Standing::ALL.map(Some).into_iter().chain([None]) {
            if matches!(remote, Some(Standing::In(state)) if !state.suits(role.other())) {
                continue;
            }
            let one = ChannelReport { remote, ..channel(role, None) };
            let text = status_text(&resource("r0", "node2", vec![one]));
            let picture = text.lines().find(|line| line.contains("local bsr")).unwrap();
            let (_, right) = picture.split_once("remote DRX").unwrap();
            let told = remote.map_or("nothing", Standing::word);
            shown += &format!("{role:?} {told:<13} remote DRX{right}\n");
        }
    }
    assert_snapshot!(shown, @r#"
    Acceptor allocating    remote DRX -------------- remote bsr
    Acceptor bridging      remote DRX -------------- remote bsr
    Acceptor bridged       remote DRX -------------- remote bsr
    Acceptor connecting    remote DRX --connecting-> remote bsr
    Acceptor establishing  remote DRX establishing-> remote bsr
    Acceptor established   remote DRX -established-> remote bsr
    Acceptor close_pending remote DRX close_pending> remote bsr
    Acceptor stopping      remote DRX ----stopping-> remote bsr
    Acceptor stopped       remote DRX -----stopped-> remote bsr
    Acceptor resuming      remote DRX -established-> remote bsr
    Acceptor failed        remote DRX ------failed-> remote bsr
    Acceptor down          remote DRX --------down-> remote bsr
    Acceptor nothing       remote DRX  (not known)   remote bsr
    Connector allocating    remote DRX -------------- remote bsr
    Connector bridging      remote DRX -------------- remote bsr
    Connector bridged       remote DRX -------------- remote bsr
    Connector waiting       remote DRX <-waiting----- remote bsr
    Connector connected     remote DRX <-connected--- remote bsr
    Connector establishing  remote DRX <-establishing remote bsr
    Connector established   remote DRX <-established- remote bsr
    Connector close_pending remote DRX <close_pending remote bsr
    Connector stopping      remote DRX <-stopping---- remote bsr
    Connector stopped       remote DRX <-stopped----- remote bsr
    Connector resuming      remote DRX <-established- remote bsr
    Connector failed        remote DRX <-failed------ remote bsr
    Connector down          remote DRX <-down-------- remote bsr
    Connector nothing       remote DRX  (not known)   remote bsr
    "#);
}

#[test]
fn status_says_when_a_bab_will_be_full() {
    let line = |dripping, used, full_in_seconds| {
        let mut resource = connected();
        let bab = &mut resource.channels[0].bab;
        (bab.dripping, bab.used, bab.full_in_seconds) = (dripping, used, full_in_seconds);
        let text = status_text(&resource);
        text.lines().find(|line| line.contains("the BAB is")).unwrap_or("nothing").to_owned() + "\n"
    };
    let full = 64 << 20;
    let shown = [
        line(false, 1 << 20, None),
        line(false, 1 << 20, Some(95.2)),
        line(true, 60 << 20, Some(9.1)),
        line(true, 60 << 20, None),
        line(true, full, Some(0.0)),
    ];
    assert_snapshot!(shown.concat(), @r#"
    nothing
      acceptor 0 data: the BAB is full in 1m35s
      acceptor 0 data: the BAB is full in 9.1 s, above its high mark of 48.0 MiB: bsr is read in drips
      acceptor 0 data: the BAB is not filling, above its high mark of 48.0 MiB: bsr is read in drips
      acceptor 0 data: the BAB is full: bsr is not read until there is room
    "#);
}

#[test]
fn status_of_a_resource_without_channels_is_its_sentence() {
    let mut down = resource("r0", "node2", Vec::new());
    (down.session, down.situation) = (false, "the operator took this resource down".to_owned());
    assert_eq!(
        status_text(&down),
        "r0-node2-node1: the operator took this resource down\n  session: none, restarts: 0\n"
    );
}

#[test]
fn a_full_bab_is_the_only_one_at_100_percent_and_an_empty_one_at_0() {
    let share = |used| {
        let mut resource = connected();
        resource.channels.truncate(1);
        resource.channels[0].bab.used = used;
        let text = status_text(&resource);
        let (_, share) = text.split_once("64.0 MiB (").unwrap();
        share.split_once(" %").unwrap().0.to_owned()
    };
    let full = 64 << 20;
    assert_eq!([share(0), share(1), share(full / 2)], ["0", "1", "50"]);
    assert_eq!([share(full - 1), share(full), share(full * 2)], ["99", "100", "200"]);
}

#[test]
fn what_compression_gains() {
    let mut resource = connected();
    let last = |resource: &ResourceReport| {
        status_text(resource).lines().last().unwrap_or_default().trim().to_owned()
    };
    resource.channels[0].compression = CompressionReport {
        wanted: Compression::Auto,
        with: Compression::Zstd(3),
        payload: 3 << 30,
        wire: 1 << 30,
    };
    assert_eq!(
        last(&resource),
        "acceptor 0 data: compression auto, now zstd:3: 3.0 GiB sent as 1.0 GiB, 3.00 times smaller"
    );
    resource.channels[0].compression =
        CompressionReport { wanted: Compression::Lz4, ..CompressionReport::default() };
    assert_eq!(last(&resource), "acceptor 0 data: compression lz4: nothing sent yet");
    resource.channels[0].compression =
        CompressionReport { payload: 1000, wire: 1000, ..CompressionReport::default() };
    assert!(!status_text(&resource).contains("compression"));
}
