//! Which statements stand in which section, and what they look like.
//!
//! What `drbdadm` (8.4 to 9.x) and `bsradm` read, together. Within `net`, `disk`, `handlers` and the like every name
//! is an option: which ones there are changes with each version of the tools, and none of them is the relay's.

/// What stands between a pair of braces, or in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    File,
    Common,
    Resource,
    Host,
    Stacked,
    Volume,
    PeerVolume,
    Connection,
    Mesh,
    Path,
    Proxy,
    ProxyOptions,
    /// Statements of any words.
    Plugins,
    /// Names with at most one value.
    Options,
    /// Anything that is made of words, signs and braces.
    Unknown,
}

/// A piece of a statement behind its keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A name, which is no keyword and no number unless it is quoted.
    Name,
    /// The word `on`.
    On,
    /// One or more names.
    Names,
    /// A name or none.
    OptionalName,
    /// A whole number.
    Number,
    /// A family, an address and a port.
    Address,
    /// A word of any kind.
    Value,
    /// A word of any kind, or none.
    OptionalValue,
    /// Words of any kind.
    Values,
    /// Words and signs.
    Free,
    /// `NAME`, `NAME minor N` or `minor N`.
    Device,
    /// `[N]`, a name, or nothing.
    Index,
    /// An endpoint's address or port, if any, and what stands between it and the other one.
    Endpoint,
    /// The same, where the address must be there.
    AddressedEndpoint,
    /// A semicolon.
    End,
    /// Braces with statements.
    Block(Section),
    /// A semicolon, or braces with statements.
    EndOrBlock(Section),
    /// A name and a semicolon, or braces with statements.
    NameOrBlock(Section),
    /// Anything up to a brace, and anything up to the brace that closes it.
    Skipped,
}

use Part::{
    Address, AddressedEndpoint, Block, Device, End, EndOrBlock, Endpoint, Free, Index, Name, NameOrBlock,
    Names, Number, On, OptionalName, OptionalValue, Skipped, Value, Values,
};
use Section::{
    Common, Connection, File, Host, Mesh, Options, Path, PeerVolume, Plugins, Proxy, ProxyOptions, Resource,
    Stacked, Unknown, Volume,
};

impl Part {
    /// What its braces hold.
    pub(super) fn section(self) -> Option<Section> {
        match self {
            Block(section) | EndOrBlock(section) | NameOrBlock(section) => Some(section),
            Endpoint | AddressedEndpoint => Some(Proxy),
            _ => None,
        }
    }
}

/// A keyword and the parts behind it.
pub(super) type Rule = (&'static str, &'static [Part]);

impl Section {
    /// The statements that it may hold.
    pub(super) fn rules(self) -> impl Iterator<Item = &'static Rule> {
        let (first, second): (&'static [Rule], &'static [Rule]) = match self {
            File => (FILE, &[]),
            Common => (SHARED, &[]),
            Resource => (SHARED, HOSTS),
            Host => (HOST, DISKS),
            Stacked => (STACKED, &[]),
            Volume => (DISKS, &[]),
            PeerVolume => (&[("disk", &[Block(Options)])], &[]),
            Connection => (CONNECTION, PATH),
            Mesh => (MESH, &[]),
            Path => (PATH, &[]),
            Proxy => (PROXY, &[]),
            ProxyOptions => (PROXY_OPTIONS, &[]),
            Options => (OPTIONS, &[]),
            Plugins | Unknown => (&[], &[]),
        };
        first.iter().chain(second)
    }

    /// What follows a keyword here, if it may stand here.
    pub(super) fn parts(self, keyword: &str) -> Option<&'static [Part]> {
        self.rules().find(|(known, _)| *known == keyword).map(|(_, parts)| *parts)
    }

    /// What follows any other keyword here; none: there are no others.
    pub(super) fn other(self) -> Option<&'static [Part]> {
        match self {
            Options | ProxyOptions => Some(OPTION),
            Plugins => Some(&[Free, End]),
            Unknown => Some(&[Free, EndOrBlock(Unknown)]),
            _ => None,
        }
    }

    /// Whether only keywords begin its statements.
    pub(super) fn is_closed(self) -> bool {
        self.other().is_none()
    }

    /// Whether its statements are made of words and signs.
    pub(super) fn takes_signs(self) -> bool {
        matches!(self, Plugins | Unknown)
    }

    /// Whether a name that is nearly a keyword is an error.
    pub(super) fn is_strict(self) -> bool {
        self.is_closed() || self == ProxyOptions
    }

    /// Whether a keyword that is nowhere known is passed over: a later version of the tools may know it.
    pub(super) fn may_grow(self) -> bool {
        !matches!(self, File | Proxy)
    }
}

/// The sections where a keyword may stand, and how people write them.
pub(super) fn homes(keyword: &str) -> Vec<(Section, &'static str)> {
    let all = [
        (File, "the file, outside of every section"),
        (Resource, "resource NAME { … }"),
        (Host, "on NAME { … }"),
        (Volume, "volume NUMBER { … }"),
        (Connection, "connection { … }"),
        (Mesh, "connection-mesh { … }"),
        (Proxy, "proxy on NAME { … }"),
        (ProxyOptions, "proxy { … }"),
    ];
    let homes = all.into_iter().filter(|(section, _)| section.parts(keyword).is_some());
    homes.take(MAX_HOMES).collect()
}

/// How a statement is written.
pub(super) fn usage(keyword: &str, parts: &[Part]) -> String {
    let mut usage = keyword.to_owned();
    for part in parts {
        usage.push_str(match part {
            Name => " NAME",
            Names => " NAME …",
            OptionalName => "",
            Number => " NUMBER",
            Address => " ADDRESS:PORT",
            On => " on",
            Value | OptionalValue => " VALUE",
            Values => " VALUE …",
            Free => " …",
            Device => " minor NUMBER;",
            Index => "; or NAME[NUMBER];",
            Endpoint => " [address ADDRESS:PORT] [via proxy on NAME { … }];",
            AddressedEndpoint => " ADDRESS:PORT [via proxy on NAME { … }];",
            End => ";",
            Block(_) | EndOrBlock(_) | NameOrBlock(_) => " { … }",
            Skipped => " NAME { … }",
        });
    }
    usage
}

/// Whether both `drbdadm` and `bsradm` take a bare word for one of their own.
pub(super) fn is_keyword(word: &str) -> bool {
    let of_sections = [FILE, SHARED, HOSTS, HOST, DISKS, CONNECTION, PATH, MESH, PROXY];
    let known = of_sections.iter().any(|rules| rules.iter().any(|(keyword, _)| *keyword == word));
    (known && !OF_ONE_TOOL.contains(&word)) || FURTHER.contains(&word)
}

const FILE: &[Rule] = &[
    ("global", &[Block(Options)]),
    ("common", &[Block(Common)]),
    ("resource", &[Name, Block(Resource)]),
    ("include", &[Name, End]),
    ("skip", &[Skipped]),
    ("require-drbd-module-version-eq", &[Value, End]),
    ("require-drbd-module-version-ne", &[Value, End]),
    ("require-drbd-module-version-gt", &[Value, End]),
    ("require-drbd-module-version-ge", &[Value, End]),
    ("require-drbd-module-version-lt", &[Value, End]),
    ("require-drbd-module-version-le", &[Value, End]),
];

/// What a resource and `common` may hold.
const SHARED: &[Rule] = &[
    ("protocol", &[OptionalValue, End]),
    ("disk", &[NameOrBlock(Options)]),
    ("net", &[Block(Options)]),
    ("syncer", &[Block(Options)]),
    ("startup", &[Block(Options)]),
    ("handlers", &[Block(Options)]),
    ("options", &[Block(Options)]),
    ("proxy", &[Block(ProxyOptions)]),
    ("device", &[Device]),
    ("meta-disk", &[Name, Index]),
    ("flexible-meta-disk", &[Name, End]),
    ("volume", &[Number, Block(Volume)]),
    ("connection", &[OptionalName, Block(Connection)]),
    ("connection-mesh", &[Block(Mesh)]),
    ("template-file", &[Name, End]),
    ("skip", &[Skipped]),
];

/// What a resource may hold besides.
const HOSTS: &[Rule] = &[
    ("on", &[Names, Block(Host)]),
    ("on-windows", &[Names, Block(Host)]),
    ("on-linux", &[Names, Block(Host)]),
    ("floating", &[Address, EndOrBlock(Host)]),
    ("floating-on-windows", &[Address, EndOrBlock(Host)]),
    ("floating-on-linux", &[Address, EndOrBlock(Host)]),
    ("stacked-on-top-of", &[Name, Block(Stacked)]),
    ("ignore-on", &[Name, End]),
    ("_this_host", &[Block(Host)]),
    ("_remote_host", &[Block(Host)]),
];

const HOST: &[Rule] = &[
    ("address", &[Address, End]),
    ("public-address", &[Address, End]),
    ("alternate-link-address", &[Address, End]),
    ("proxy", &[On, Names, Block(Proxy)]),
    ("volume", &[Number, Block(Volume)]),
    ("node-id", &[Number, End]),
    ("node-name", &[Name, End]),
    ("group", &[Name, End]),
    ("options", &[Block(Options)]),
];

const STACKED: &[Rule] = &[
    ("device", &[Device]),
    ("address", &[Address, End]),
    ("alternate-link-address", &[Address, End]),
    ("proxy", &[On, Names, Block(Proxy)]),
    ("volume", &[Number, Block(Volume)]),
    ("node-id", &[Number, End]),
];

const DISKS: &[Rule] = &[
    ("disk", &[NameOrBlock(Options)]),
    ("device", &[Device]),
    ("meta-disk", &[Name, Index]),
    ("flexible-meta-disk", &[Name, End]),
    ("tiebreaker", &[Value, End]),
    ("skip", &[Skipped]),
];

const CONNECTION: &[Rule] = &[
    ("path", &[Block(Path)]),
    ("net", &[Block(Options)]),
    ("disk", &[Block(Options)]),
    ("volume", &[Number, Block(PeerVolume)]),
    ("skip", &[Skipped]),
    ("_peer_node_id", &[Number, End]),
    ("_peer_node_name", &[Name, End]),
    ("_peer_node_group", &[Name, End]),
    ("_is_standalone", &[End]),
    ("_cstate", &[Name, End]),
];

const PATH: &[Rule] = &[
    ("host", &[Name, Endpoint]),
    ("group", &[Name, Endpoint]),
    ("address", &[AddressedEndpoint]),
    ("_this_host", &[AddressedEndpoint]),
    ("_remote_host", &[AddressedEndpoint]),
];

const MESH: &[Rule] = &[("hosts", &[Names, End]), ("groups", &[Names, End]), ("net", &[Block(Options)])];

const PROXY: &[Rule] = &[
    ("inside", &[Address, End]),
    ("outside", &[Address, End]),
    ("public-inside", &[Address, End]),
    ("public-outside", &[Address, End]),
    ("options", &[Block(ProxyOptions)]),
];

const PROXY_OPTIONS: &[Rule] = &[
    ("memlimit", OPTION),
    ("read-loops", OPTION),
    ("compression", OPTION),
    ("bwlimit", OPTION),
    ("sndbuf-size", OPTION),
    ("rcvbuf-size", OPTION),
    ("ping-timeout", OPTION),
    ("plugin", &[Block(Plugins)]),
];

/// A flag, or a name and its value.
const OPTION: &[Part] = &[OptionalValue, End];

const OPTIONS: &[Rule] = &[("become-primary-on", &[Values, End]), ("_unknown", &[Value, End])];

/// Keywords that stand within statements or within option sections.
const FURTHER: &[&str] = &[
    "no",
    "yes",
    "ask",
    "via",
    "port",
    "minor",
    "cmd-timeout-short",
    "cmd-timeout-medium",
    "cmd-timeout-long",
    "minor-count",
    "disable-ip-verification",
    "udev-always-use-vnr",
    "dialog-refresh",
    "usage-count",
    "sci",
    "ssocks",
    "sdp",
    "ipv4",
    "ipv6",
];

/// Keywords that one of the two reads as an ordinary word.
const OF_ONE_TOOL: &[&str] = &[
    "on-windows",
    "on-linux",
    "floating-on-windows",
    "floating-on-linux",
    "public-address",
    "node-name",
    "group",
    "groups",
    "public-inside",
    "public-outside",
    "tiebreaker",
    "ignore-on",
    "alternate-link-address",
    "protocol",
    "_peer_node_name",
    "_peer_node_group",
    "_is_standalone",
    "_cstate",
    "require-drbd-module-version-eq",
    "require-drbd-module-version-ne",
    "require-drbd-module-version-gt",
    "require-drbd-module-version-ge",
    "require-drbd-module-version-lt",
    "require-drbd-module-version-le",
];
/// Sections that an error names for a keyword.
const MAX_HOMES: usize = 3;
