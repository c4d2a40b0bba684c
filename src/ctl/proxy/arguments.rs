//! The command line: options, and commands of several words each.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Carry out these commands, in their order.
    Commands(Vec<String>),
    /// Read commands from standard input.
    Interactive,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// `--socket`.
    pub(super) socket: Option<PathBuf>,
    /// What to do.
    pub(super) task: Task,
}

/// Reads the arguments, without the program's name.
///
/// `-c WORDS` is a command. Beside one, every further argument is a command, too: `drbdadm` and `bsradm` write the
/// last one without its `-c` (bsr-wire A.8). Without any `-c` the arguments are the words of a single command, as
/// DRBD Proxy 4 takes them, unless one of them is several words itself.
///
/// # Errors
/// What cannot be understood.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut arguments = arguments
        .into_iter()
        .map(|argument| argument.into_string().map_err(|argument| format!("{argument:?} is no UTF-8 text")));
    let (mut socket, mut commands, mut marked, mut only_words) = (None, Vec::new(), false, false);
    while let Some(argument) = arguments.next().transpose()? {
        let mut value = |option: &str| match arguments.next().transpose()? {
            Some(value) => Ok(value),
            None => Err(format!("{option} needs a value")),
        };
        match argument.as_str() {
            "--" if !only_words => only_words = true,
            _ if only_words => commands.push(argument),
            "-h" | "--help" => return Ok(Arguments { socket, task: Task::Help }),
            "-V" | "--version" => return Ok(Arguments { socket, task: Task::Version }),
            "-c" => {
                commands.push(value("-c")?);
                marked = true;
            }
            "--socket" => socket = Some(PathBuf::from(value("--socket")?)),
            _ => match argument.strip_prefix("--socket=") {
                Some(path) => socket = Some(PathBuf::from(path)),
                // Within a command stand options of its own: `add connection … --memlimit=128M`.
                None if argument.starts_with('-') && (marked || commands.is_empty()) => {
                    return Err(format!(
                        "there is no option {argument:?}; -c, --socket, --help and --version are"
                    ));
                }
                None => commands.push(argument),
            },
        }
    }
    let one = !marked && !commands.iter().any(|argument| argument.contains(char::is_whitespace));
    let task = match commands.as_slice() {
        [] => Task::Interactive,
        words if one => Task::Commands(vec![words.join(" ")]),
        _ => Task::Commands(commands),
    };
    Ok(Arguments { socket, task })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn task(arguments: &[&str]) -> Result<Task, String> {
        read(arguments.iter().map(OsString::from)).map(|arguments| arguments.task)
    }

    fn commands(arguments: &[&str]) -> Vec<String> {
        match task(arguments).unwrap() {
            Task::Commands(commands) => commands,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    #[test]
    fn commands_stand_with_and_without_their_mark() {
        let (a, b, c) = ("set memlimit x 1M", "set plugin x 0 lz4", "set plugin x 1 END");
        // As drbd-utils 9.22 and bsr-utils call it, and as newer ones do.
        assert_eq!(commands(&["-c", a, "-c", b, c]), [a, b, c]);
        assert_eq!(commands(&["-c", a, "-c", b, "-c", c]), [a, b, c]);
        assert_eq!(commands(&["-c", a, b, c]), [a, b, c]);
        assert_eq!(commands(&[a, b]), [a, b]);
        assert_eq!(commands(&["-c", "show"]), ["show"]);
        assert_eq!(commands(&["-c", "show", "help"]), ["show", "help"], "beside -c each is a command");
        assert_eq!(commands(&["-c", ""]), [""], "an empty command is not none");
    }

    #[test]
    fn without_a_mark_the_words_are_one_command() {
        assert_eq!(commands(&["show", "memusage"]), ["show memusage"]);
        assert_eq!(commands(&["--socket", "/s", "set", "loglevel", "debug"]), ["set loglevel debug"]);
        let add = ["add", "connection", "x", "1.1.1.1:1", "--memlimit=1M", "--sndbuf-size=2M"];
        assert_eq!(commands(&add), [add.join(" ")]);
        assert_eq!(commands(&["--", "-c", "x"]), ["-c x"]);
    }

    #[test]
    fn options_stand_anywhere() {
        let socket = |arguments: &[&str]| read(arguments.iter().map(OsString::from)).unwrap().socket;
        for arguments in
            [&["--socket", "/s", "-c", "show"][..], &["-c", "show", "--socket=/s"], &["--socket=/s"]]
        {
            assert_eq!(socket(arguments), Some(PathBuf::from("/s")), "{arguments:?}");
        }
        assert_eq!(socket(&["show"]), None);
        assert_eq!(task(&[]), Ok(Task::Interactive));
        assert_eq!(task(&["-c", "show", "--help"]), Ok(Task::Help));
        assert_eq!(task(&["-V"]), Ok(Task::Version));
    }

    #[test]
    fn what_is_no_command_line_says_why() {
        for (arguments, why) in [
            (&["-c"][..], "-c needs a value"),
            (&["--socket"], "--socket needs a value"),
            (&["-x"], "no option \"-x\""),
            (&["--json", "-c", "show"], "no option \"--json\""),
            (&["-c", "show", "-v"], "no option \"-v\""),
        ] {
            let said = task(arguments).unwrap_err();
            assert!(said.contains(why), "{arguments:?}: {said}");
        }
        let garbage = read([OsString::from_vec(b"sh\xffow".to_vec())]).unwrap_err();
        assert!(garbage.contains("no UTF-8"), "{garbage}");
    }
}
