//! What a line that begins with a slash means.

/// A command of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    List,
    Load(String),
    Save(String),
    Clear,
    Set(Set),
    /// What of the model, if anything was said.
    Show(Option<String>),
    Help(Option<String>),
    Leave,
    /// Something that is missing.
    Usage(&'static str),
    Unknown(String),
}

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Set {
    History(bool),
    WordWrap(bool),
    Verbose(bool),
    /// With a level, if one was said.
    Think(Option<String>),
    NoThink,
    Format(Option<String>),
    NoFormat,
    Parameter(String, Vec<String>),
    /// A text, or one that begins with quotes and may go on for several lines.
    System(String),
    /// What can be set was not said, or not as a whole.
    Unsaid(&'static str),
}

/// Reads a line; `None` when it is a message.
pub(super) fn parse(line: &str) -> Option<Command> {
    if !line.starts_with('/') {
        return None;
    }
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let arguments: Vec<&str> = words.collect();
    // Several lines at once were pasted: only a system message can have them.
    if line.trim_end().contains('\n') && (first, arguments.first()) != ("/set", Some(&"system")) {
        return None;
    }
    let one = |make: fn(String) -> Command, usage| match arguments[..] {
        [name] => make(name.to_owned()),
        _ => Command::Usage(usage),
    };
    let about = arguments.first().map(|&word| word.to_owned());
    Some(match first {
        "/list" | "/ls" => Command::List,
        "/load" => one(Command::Load, "Usage:\n  /load <modelname>"),
        "/save" => one(Command::Save, "Usage:\n  /save <modelname>"),
        "/clear" => Command::Clear,
        "/set" => set(line, &arguments),
        "/show" => Command::Show(about),
        "/help" | "/?" => Command::Help(about),
        "/bye" | "/exit" => Command::Leave,
        other => Command::Unknown(other.to_owned()),
    })
}

fn set(line: &str, arguments: &[&str]) -> Command {
    let text = |word: &&str| (*word).to_owned();
    let set = match arguments {
        ["history", ..] => Set::History(true),
        ["nohistory", ..] => Set::History(false),
        ["wordwrap", ..] => Set::WordWrap(true),
        ["nowordwrap", ..] => Set::WordWrap(false),
        ["verbose", ..] => Set::Verbose(true),
        ["quiet", ..] => Set::Verbose(false),
        ["think", rest @ ..] => Set::Think(rest.first().map(text)),
        ["nothink", ..] => Set::NoThink,
        ["format", rest @ ..] => Set::Format(rest.first().map(text)),
        ["noformat", ..] => Set::NoFormat,
        ["parameter", name, first, rest @ ..] => {
            let values = [first].into_iter().chain(rest).map(text).collect();
            Set::Parameter(text(name), values)
        }
        ["parameter", ..] => Set::Unsaid("parameter"),
        ["system", _, ..] => {
            // As it was written, with all its spaces.
            let rest = line.split_once("system").map_or("", |(_, rest)| rest);
            Set::System(rest.trim().to_owned())
        }
        ["system"] | [] => Set::Unsaid(""),
        [other, ..] => return Command::Unknown(format!("/set {other}")),
    };
    Command::Set(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lines_mean() {
        let text = |text: &str| text.to_owned();
        for (line, command) in [
            ("/list", Command::List),
            ("/load llama3.2", Command::Load(text("llama3.2"))),
            ("/load", Command::Usage("Usage:\n  /load <modelname>")),
            ("/save a b", Command::Usage("Usage:\n  /save <modelname>")),
            ("/clear ", Command::Clear),
            ("/bye", Command::Leave),
            ("/exit", Command::Leave),
            ("/?", Command::Help(None)),
            ("/help set", Command::Help(Some(text("set")))),
            ("/show", Command::Show(None)),
            ("/show info", Command::Show(Some(text("info")))),
            ("/byebye", Command::Unknown(text("/byebye"))),
            ("/", Command::Unknown(text("/"))),
            ("/set", Command::Set(Set::Unsaid(""))),
            ("/set history", Command::Set(Set::History(true))),
            ("/set nowordwrap", Command::Set(Set::WordWrap(false))),
            ("/set quiet", Command::Set(Set::Verbose(false))),
            ("/set think", Command::Set(Set::Think(None))),
            (
                "/set think high",
                Command::Set(Set::Think(Some(text("high")))),
            ),
            ("/set nothink", Command::Set(Set::NoThink)),
            (
                "/set format json",
                Command::Set(Set::Format(Some(text("json")))),
            ),
            ("/set noformat", Command::Set(Set::NoFormat)),
            ("/set parameter", Command::Set(Set::Unsaid("parameter"))),
            (
                "/set parameter seed",
                Command::Set(Set::Unsaid("parameter")),
            ),
            (
                "/set parameter stop a b",
                Command::Set(Set::Parameter(text("stop"), vec![text("a"), text("b")])),
            ),
            ("/set system", Command::Set(Set::Unsaid(""))),
            (
                "/set system  Be  brief. ",
                Command::Set(Set::System(text("Be  brief."))),
            ),
            (
                "/set system \"\"\"a\nb\"\"\"",
                Command::Set(Set::System(text("\"\"\"a\nb\"\"\""))),
            ),
            ("/set fire", Command::Unknown(text("/set fire"))),
        ] {
            assert_eq!(parse(line), Some(command), "{line}");
        }
    }

    #[test]
    fn what_is_a_message() {
        for line in [
            "Hello",
            "",
            " /bye",
            "// a comment\nint main;",
            "/bye\nand more",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
