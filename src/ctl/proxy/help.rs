//! The commands there are, in words for people.

use std::fmt::Write;

/// The help of `program`, each line with its newline.
pub(super) fn text(program: &str) -> String {
    let mut text = format!(
        "Usage: {program} [--socket PATH] [-c \"COMMAND\"]... | COMMAND WORDS...\n\
         Talks to drxd as {program} does to DRBD Proxy. Without a command it reads them from standard input.\n\n"
    );
    for (usage, meaning) in COMMANDS {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{usage}\n    {meaning}");
    }
    text.push_str(
        "\n--socket PATH  the daemon's control socket [default: $DRX_CONTROL__SOCKET, else /run/drx/drx.sock]\n\
         Exit status, of the first that failed: 0 done; 1 the daemon said no or did not answer; 2 usage; 3 no daemon.\n",
    );
    text
}

/// How commands are written that begin as these words do: with the same two words, else with the same first.
pub(super) fn usages<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'static str> + 'a {
    // LINBIT's guide has both words.
    let word = |at: usize| words.get(at).map(|word| if at == 0 && *word == "list" { "show" } else { word });
    let alike = move |usage: &str, count: usize| {
        (0..count).all(|at| word(at).is_some() && usage.split_whitespace().nth(at) == word(at))
    };
    let count = if COMMANDS.iter().any(|(usage, _)| alike(usage, 2)) { 2 } else { 1 };
    COMMANDS.iter().map(|(usage, _)| *usage).filter(move |usage| alike(usage, count))
}

/// How each is written, and what it does.
const COMMANDS: [(&str, &str); 16] = [
    (
        "add connection NAME INSIDE PEER_OUTSIDE MY_OUTSIDE MY_BSR [--OPTION=VALUE]...",
        "Adds a connection, as drbdadm proxy-up does. NAME is RESOURCE-REMOTE-LOCAL.",
    ),
    ("del connection NAME", "Removes it, as drbdadm proxy-down does: what it holds is flushed first."),
    ("set memlimit NAME SIZE", "Changes its buffer (bab.size) while it runs, up or down: 128M, 1G."),
    ("set OPTION NAME VALUE", "Keeps another option of a proxy section: sndbuf-size, bwlimit, ..."),
    ("set plugin NAME NUMBER WORDS...", "Sets a line of its plugin section, from 0: zstd level 4."),
    ("set plugin NAME NUMBER END", "Drops that line and all after it."),
    ("set loglevel LEVEL", "critical, error, warning, info, debug or trace, until drxd ends."),
    ("show", "What is configured, as commands that would do it again."),
    ("show memusage", "The buffers: size, what they hold, how old that is."),
    (
        "show connections",
        "State and bytes of each connection, with tabs in between; hconnections: for people.",
    ),
    ("show hconnections", "The same in columns, with units."),
    ("show subconnections", "The same of each of its TCP connections; hsubconnections: for people."),
    ("show proxy-settings NAME", "What is set, as a proxy section: for drbdadm adjust."),
    ("print statistics", "All figures, a line KEY=VALUE ... for each channel: for monitoring."),
    ("shutdown", "Flushes, then ends drxd."),
    ("quit", "Ends this program; help: this text."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_command() {
        let text = text("bsr-proxy-ctl");
        for (usage, _) in COMMANDS {
            assert!(text.contains(usage), "{usage}");
        }
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    }

    #[test]
    fn the_documentation_has_every_command() {
        let page = include_str!("../../../docs/proxy-ctl.md");
        let (_, table) = page.split_once("## 2. Commands").unwrap_or_default();
        for (usage, _) in COMMANDS {
            assert!(table.contains(&format!("`{usage}`")), "{usage}");
        }
    }

    #[test]
    fn like_commands_are_found() {
        let found = |words: &[&str]| usages(words).collect::<Vec<_>>();
        assert_eq!(found(&["del", "x"]), ["del connection NAME"]);
        assert_eq!(found(&["list", "memusage", "x"]), ["show memusage"]);
        assert_eq!(found(&["set", "plugin"]).len(), 2);
        assert_eq!(found(&["show", "x"]).len(), 6);
        assert!(found(&["x"]).is_empty());
        assert!(found(&[]).is_empty());
    }
}
