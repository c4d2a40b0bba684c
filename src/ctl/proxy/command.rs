//! A command's words, understood.

use crate::control::Addition;
use crate::ctl::proxy::address;
use crate::ctl::proxy::help::usages;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `add connection`.
    Add(Addition),
    /// `del connection`.
    Delete { name: String },
    /// `set memlimit`, and whatever else a `proxy` section may hold.
    Set { option: String, name: String, value: String },
    /// `set plugin`.
    Plugin { name: String, position: usize, line: String },
    /// `set loglevel`.
    LogLevel { level: String },
    /// `show`.
    Configuration,
    /// `show proxy-settings`.
    ProxySettings { name: String },
    /// `show memusage`.
    Memory,
    /// `show connections`.
    Connections { human: bool },
    /// `show subconnections`.
    Subconnections { human: bool },
    /// `print statistics`.
    Statistics,
    /// `shutdown`.
    Shutdown,
    /// `help`.
    Help,
    /// `quit`.
    Quit,
}

impl Command {
    /// Reads a command: words, with blanks in between.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub(super) fn read(text: &str) -> Result<Command, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["add", "connection", rest @ ..] => add(rest)?,
            ["del", "connection", name] => Command::Delete { name: (*name).to_owned() },
            ["set", "plugin", name, position, line @ ..] if !line.is_empty() => plugin(name, position, line)?,
            ["set", "loglevel", level] => Command::LogLevel { level: level_of(level).to_owned() },
            ["set", option, name, value] if !["plugin", "loglevel"].contains(option) => {
                Command::Set { option: plain(option)?, name: (*name).to_owned(), value: plain(value)? }
            }
            ["show" | "list"] => Command::Configuration,
            ["show" | "list", "proxy-settings", name] => Command::ProxySettings { name: (*name).to_owned() },
            ["show" | "list", "memusage"] => Command::Memory,
            ["show" | "list", "connections"] => Command::Connections { human: false },
            ["show" | "list", "hconnections"] => Command::Connections { human: true },
            ["show" | "list", "subconnections"] => Command::Subconnections { human: false },
            ["show" | "list", "hsubconnections"] => Command::Subconnections { human: true },
            ["print", "statistics" | "details"] => Command::Statistics,
            ["shutdown"] => Command::Shutdown,
            ["help" | "?"] => Command::Help,
            ["quit" | "exit"] => Command::Quit,
            [] => return Err("there are no words in it".to_owned()),
            words => return Err(misfit(words)),
        })
    }
}

/// `NAME INSIDE PEER_OUTSIDE MY_OUTSIDE MY_BSR`, and options in the form of newer tools: `--memlimit=128M`.
fn add(words: &[&str]) -> Result<Command, String> {
    let [name, inside, peer, outside, bsr, options @ ..] = words else {
        return Err(misfit(&[&["add", "connection"], words].concat()));
    };
    let at = |what: &str, text: &str| address::read(text).map_err(|wrong| format!("{what}: {wrong}"));
    let option = |word: &&str| {
        let (name, value) = word
            .strip_prefix("--")
            .and_then(|word| word.split_once('='))
            .ok_or_else(|| format!("{word:?} is no option; write --NAME=VALUE, such as --memlimit=128M"))?;
        Ok((plain(name)?, plain(value)?))
    };
    Ok(Command::Add(Addition {
        name: (*name).to_owned(),
        inside: at("INSIDE", inside)?,
        peer: at("PEER_OUTSIDE", peer)?,
        outside: at("MY_OUTSIDE", outside)?,
        bsr: at("MY_BSR", bsr)?,
        options: options.iter().map(option).collect::<Result<_, String>>()?,
    }))
}

fn plugin(name: &str, position: &str, line: &[&str]) -> Result<Command, String> {
    let position =
        position.parse().map_err(|_| format!("{position:?} is no number of a plugin; the first is 0"))?;
    // `proxy-up` writes END, `adjust` end (drbd-utils 9.22).
    let line = match line {
        [end] if end.eq_ignore_ascii_case("end") => "END".to_owned(),
        words => words.iter().map(|word| plain(word)).collect::<Result<Vec<_>, _>>()?.join(" "),
    };
    Ok(Command::Plugin { name: name.to_owned(), position, line })
}

/// A word that may stand in the answer to `show proxy-settings`, which the tools read as a part of a resource file.
fn plain(word: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_graphic() && !"{};\"#\\".contains(c);
    if word.is_empty() || !word.chars().all(fits) {
        return Err(format!("{word:?} cannot be a word of a resource file"));
    }
    Ok(word.to_owned())
}

/// Other programs' words for a level; one that is none of ours is for the daemon to refuse.
fn level_of(word: &str) -> &str {
    match word {
        "crit" => "critical",
        "err" => "error",
        "warn" => "warning",
        "notice" => "info",
        other => other,
    }
}

/// Why words are no command: how the nearest ones are written.
fn misfit(words: &[&str]) -> String {
    let alike: Vec<_> = usages(words).collect();
    match alike.as_slice() {
        [] => "there is no such command; help lists those that there are".to_owned(),
        usages => format!("it is written: {}", usages.join(" | ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Command {
        Command::read(text).unwrap()
    }

    fn owned(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn connections_are_added_as_the_tools_say_it() {
        let addition = |options: &[(&str, &str)]| {
            Command::Add(Addition {
                name: owned("r0-node2-node1"),
                inside: "10.77.1.1:7788".parse().unwrap(),
                peer: "10.77.9.2:7780".parse().unwrap(),
                outside: "10.77.9.1:7780".parse().unwrap(),
                bsr: "10.77.1.2:7789".parse().unwrap(),
                options: options.iter().map(|(name, value)| (owned(name), owned(value))).collect(),
            })
        };
        // The one of bsr-wire A.8.
        let words =
            "add connection r0-node2-node1 10.77.1.1:7788 10.77.9.2:7780 10.77.9.1:7780 10.77.1.2:7789";
        assert_eq!(read(words), addition(&[]));
        let newer = format!("{words} --memlimit=128M  --sndbuf-size=10M");
        assert_eq!(read(&newer), addition(&[("memlimit", "128M"), ("sndbuf-size", "10M")]));
    }

    #[test]
    fn every_form_of_a_command_is_understood() {
        let set = |option: &str, value: &str| Command::Set {
            option: owned(option),
            name: owned("x"),
            value: owned(value),
        };
        let plugin = |position, line: &str| Command::Plugin { name: owned("x"), position, line: owned(line) };
        for (text, command) in [
            ("del connection x", Command::Delete { name: owned("x") }),
            ("set memlimit x 500M", set("memlimit", "500M")),
            ("  set\tsndbuf-size   x 1 ", set("sndbuf-size", "1")),
            ("set plugin x 0 zstd level 4", plugin(0, "zstd level 4")),
            ("set plugin x 1 END", plugin(1, "END")),
            ("set plugin x 0 end", plugin(0, "END")),
            ("set plugin x 0 end 3", plugin(0, "end 3")),
            ("set loglevel debug", Command::LogLevel { level: owned("debug") }),
            ("set loglevel warn", Command::LogLevel { level: owned("warning") }),
            ("show", Command::Configuration),
            ("show proxy-settings x", Command::ProxySettings { name: owned("x") }),
            ("show memusage", Command::Memory),
            ("show connections", Command::Connections { human: false }),
            ("list hconnections", Command::Connections { human: true }),
            ("show subconnections", Command::Subconnections { human: false }),
            ("show hsubconnections", Command::Subconnections { human: true }),
            ("print statistics", Command::Statistics),
            ("print details", Command::Statistics),
            ("shutdown", Command::Shutdown),
            ("help", Command::Help),
            ("quit", Command::Quit),
            ("exit", Command::Quit),
        ] {
            assert_eq!(read(text), command, "{text}");
        }
    }

    #[test]
    fn what_is_no_command_says_how_it_is_written() {
        for (text, why) in [
            ("", "no words"),
            ("frobnicate", "no such command"),
            ("SHOW", "no such command"),
            ("\u{1b}[31m \0", "no such command"),
            ("add", "it is written: add connection NAME INSIDE PEER_OUTSIDE MY_OUTSIDE MY_BSR"),
            ("add connection x 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1", "it is written: add connection NAME"),
            (
                "add connection x 1.1.1.1:1 nowhere 1.1.1.1:1 1.1.1.1:1",
                "PEER_OUTSIDE: \"nowhere\" has no port",
            ),
            ("add connection x 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 memlimit=1M", "is no option"),
            ("add connection x 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 --memlimit", "is no option"),
            ("add connection x 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 --memlimit=", "\"\" cannot be"),
            ("del connection", "it is written: del connection NAME"),
            ("del connection x y", "it is written: del connection NAME"),
            ("del x", "it is written: del connection NAME"),
            ("set", "set memlimit NAME SIZE | set OPTION NAME VALUE | set plugin"),
            ("set memlimit x", "set memlimit NAME SIZE"),
            ("set memlimit x 1 M", "set memlimit NAME SIZE"),
            ("set memlimit x 1;M", "\"1;M\" cannot be a word"),
            ("set plugin x 0", "it is written: set plugin NAME NUMBER WORDS... | "),
            ("set plugin x -1 lz4", "\"-1\" is no number"),
            ("set plugin x 99999999999999999999 lz4", "is no number"),
            ("set plugin x 0 zstd \"level\"", "cannot be a word"),
            ("set plugin x 0 zstd }", "cannot be a word"),
            ("set plugin x 0 zst\u{e4}", "cannot be a word"),
            ("set loglevel", "it is written: set loglevel LEVEL"),
            ("show proxy-settings", "it is written: show proxy-settings NAME"),
            ("show everything", "it is written: show | show memusage |"),
            ("print", "it is written: print statistics"),
            ("shutdown now", "it is written: shutdown"),
        ] {
            let said = Command::read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
