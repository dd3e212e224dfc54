use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<Vec<Instruction>> {
    Modelfile::parse(text.as_bytes()).map(|modelfile| modelfile.instructions().to_vec())
}

fn parsed(text: &str) -> Vec<Instruction> {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn refused(text: &str) -> String {
    match Modelfile::parse(text.as_bytes()) {
        Ok(modelfile) => panic!("{text:?} gave {modelfile:?}"),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Invalid);
            error.to_string()
        }
    }
}

fn from(value: &str) -> Instruction {
    Instruction::From(value.to_owned())
}

fn system(value: &str) -> Instruction {
    Instruction::System(value.to_owned())
}

fn message(role: Role, value: &str) -> Instruction {
    Instruction::Message(role, value.to_owned())
}

fn parameter(name: &str, text: &str) -> Instruction {
    Instruction::Parameter(Parameter::new(name, text).unwrap())
}

#[test]
fn every_instruction_is_read_in_any_case_and_order() {
    let text = "\
# a comment
system be brief
  Parameter\tTEMPERATURE   0.5
PARAMETER stop <|end|>
PARAMETER stop \"two words\"
PARAMETER num_ctx 4096
ADAPTER ./lora.gguf
draft small.gguf
TEMPLATE {{ .Prompt }} # no comment
LICENSE MIT
MESSAGE User Hello: there
message assistant \"\"\"Hi!\"\"\"
RENDERER r
PARSER p
REQUIRES v0.14
FROM  /a path/with blanks
";
    assert_eq!(
        parsed(text),
        [
            system("be brief"),
            parameter("temperature", "0.5"),
            parameter("stop", "<|end|>"),
            parameter("stop", "two words"),
            parameter("num_ctx", "4096"),
            Instruction::Adapter("./lora.gguf".into()),
            Instruction::Draft("small.gguf".into()),
            Instruction::Template("{{ .Prompt }} # no comment".into()),
            Instruction::License("MIT".into()),
            message(Role::User, "Hello: there"),
            message(Role::Assistant, "Hi!"),
            Instruction::Renderer("r".into()),
            Instruction::Parser("p".into()),
            Instruction::Requires("0.14".into()),
            from("/a path/with blanks"),
        ]
    );
}

#[test]
fn quotes_close_at_the_end_of_a_line_and_nowhere_else() {
    for (text, value) in [
        ("plain  text \t", "plain  text"),
        ("\"  kept  \"  ", "  kept  "),
        ("\"\"", ""),
        ("", ""),
        ("\"a \"quoted\" word\"", "a \"quoted\" word"),
        ("say \"this\"", "say \"this\""),
        ("\"two\nlines\"", "two\nlines"),
        ("\"\"\"a\"\"\"", "a"),
        ("\"\"\"\nlines\r\nof text\n\"\"\" ", "\nlines\r\nof text\n"),
        (
            "\"\"\"She said \"\"\"no\"\"\" twice.\n\"\"\"",
            "She said \"\"\"no\"\"\" twice.\n",
        ),
        ("\"\"\"\"one quote\"\"\"\"", "\"one quote\""),
        ("\"\"\"ends here\"\"\"\u{a0}", "ends here"),
        ("\"\"\"\"\"\"", ""),
        (
            "e\u{301}\u{200d}\u{1F468}\u{200d}\u{1F469}\u{7}",
            "e\u{301}\u{200d}\u{1F468}\u{200d}\u{1F469}\u{7}",
        ),
        ("\u{3000}wide\u{3000}", "wide"),
    ] {
        let lines = format!("SYSTEM {text}\nFROM m\n");
        assert_eq!(parsed(&lines), [system(value), from("m")], "{text:?}");
        let last = format!("FROM m\nSYSTEM {text}");
        assert_eq!(
            parsed(&last),
            [from("m"), system(value)],
            "{text:?} at the end"
        );
    }
}

#[test]
fn line_ends_of_every_system_end_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["FROM m", "# c", "", "SYSTEM s", "BAD"].join(end);
        assert!(
            refused(&text).starts_with("(line 5): command must be one of"),
            "{end:?}"
        );
        assert_eq!(parsed(&text.replace("BAD", "")), [from("m"), system("s")]);
    }
}

#[test]
fn text_in_utf_8_and_utf_16_with_a_mark() {
    let text = "FROM m\nSYSTEM größer 🦙\n";
    let plain = parsed(text);
    let mut utf8 = b"\xef\xbb\xbf".to_vec();
    utf8.extend(text.bytes());
    let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
    let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
    for bytes in [utf8, little.clone(), big] {
        assert_eq!(Modelfile::parse(&bytes).unwrap().instructions(), plain);
    }
    let error = |bytes: &[u8]| Modelfile::parse(bytes).unwrap_err().to_string();
    assert!(
        error(b"FROM m\nSYSTEM gr\xf6\xdfer").starts_with("(line 2): the Modelfile is neither")
    );
    assert!(error(&little[..little.len() - 1]).contains("ends within a character"));
    assert!(error(b"\xff\xfeF\0\n\0\x3d\xd8x\0").starts_with("(line 2): "));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, message) in [
        ("", "no FROM line"),
        ("# FROM m\nSYSTEM s", "no FROM line"),
        (
            "FROM m\nRUN x",
            "(line 2): command must be one of \"from\", \"license\"",
        ),
        ("FROM m\n\nRUN", "(line 3): command must be one of"),
        ("FROM", "(line 1): FROM has no value"),
        ("FROM \n", "(line 1): FROM has no value"),
        ("FROM\n", "(line 1): FROM has no value"),
        ("FROM \"\"", "(line 1): FROM has no value"),
        ("FROM:m", "(line 1): command must be one of"),
        ("SYSTEM a\nADAPTER \n", "(line 2): ADAPTER has no value"),
        (
            "FROM m\nPARAMETER top 1",
            "(line 2): unknown parameter 'top'",
        ),
        (
            "FROM m\nPARAMETER stop",
            "(line 2): PARAMETER is followed by a name",
        ),
        (
            "FROM m\nPARAMETER a.b c",
            "(line 2): PARAMETER is followed by a name",
        ),
        (
            "FROM m\nMESSAGE tool x",
            "(line 2): message role must be one of",
        ),
        (
            "FROM m\nMESSAGE system\n",
            "(line 2): MESSAGE is followed by a role",
        ),
        (
            "FROM m\nSYSTEM \"\"\"a\nb\"\"\n",
            "(line 2): the \"\"\" after SYSTEM is not closed",
        ),
        (
            "FROM m\nSYSTEM \"\"\"a\"\"\" b",
            "(line 2): the \"\"\" after SYSTEM is not closed",
        ),
        (
            "FROM m\nSYSTEM \"a\nb\nRUN x",
            "(line 2): the \" after SYSTEM is not closed",
        ),
        (
            "FROM m\nSYSTEM \"a\nb\"\nRUN x",
            "(line 4): command must be one of",
        ),
        (
            "FROM m\nREQUIRES soon",
            "(line 2): requires must be a valid semver",
        ),
    ] {
        let error = refused(text);
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
    let long = format!("FROM m\n#{}", "x".repeat(MAX_BYTES));
    assert!(refused(&long).contains("at most 16 MiB"));
}

#[test]
fn parameters_have_types() {
    let value = |name: &str, text: &str| -> Result<_, String> {
        let parameter = Parameter::new(name, text)?;
        Ok(parameter.value())
    };
    let int = |value| Ok(Some(Setting::Int(value)));
    assert_eq!(value("num_ctx", "4096"), int(4096));
    assert_eq!(value("repeat_last_n", "-1"), int(-1));
    assert_eq!(value("seed", "9223372036854775807"), int(i64::MAX));
    assert_eq!(value("temperature", "1"), Ok(Some(Setting::Float(1.0))));
    assert_eq!(value("min_p", "5e-2"), Ok(Some(Setting::Float(0.05))));
    assert_eq!(value("use_mmap", "False"), Ok(Some(Setting::Bool(false))));
    assert_eq!(value("stop", "7"), Ok(Some(Setting::Text("7".into()))));
    assert_eq!(value("mirostat", "2"), Ok(None));
    for (name, text) in [
        ("num_ctx", "4096.5"),
        ("num_ctx", "2147483648"),
        ("num_gpu", ""),
        ("seed", "9223372036854775808"),
        ("temperature", "hot"),
        ("temperature", "inf"),
        ("temperature", "NaN"),
        ("temperature", "1e39"),
        ("use_mmap", "yes"),
    ] {
        let error = value(name, text).unwrap_err();
        assert!(error.contains(name) && error.contains(text), "{error}");
    }
    assert!(value("Temperature", "1").is_err());
}

#[test]
fn parameters_of_requests_have_the_same_types() {
    for (name, value) in [
        ("num_ctx", json!(4096)),
        ("num_ctx", json!(4096.0)),
        ("seed", json!(-1)),
        ("top_p", json!(1)),
        ("use_mmap", json!(true)),
        ("stop", json!("a")),
        ("stop", json!(["a", "b"])),
    ] {
        assert_eq!(
            parameters::check_json(name, &value),
            Ok(()),
            "{name} {value}"
        );
    }
    for (name, value) in [
        ("num_ctx", json!("4096")),
        ("num_ctx", json!(0.5)),
        ("num_ctx", json!(1e300)),
        ("seed", json!(null)),
        ("top_p", json!([1])),
        ("top_p", json!(1e300)),
        ("use_mmap", json!(1)),
        ("stop", json!([1])),
        ("nothing", json!(1)),
    ] {
        let error = parameters::check_json(name, &value).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn versions_are_those_of_semver() {
    for good in [
        "0.14.0",
        "v0.14.0",
        "1",
        "1.2",
        "1.2.3-rc.1",
        "1.2.3+build.01",
        "1.0.0-a-b.0+c",
    ] {
        let expected = good.trim_start_matches('v');
        assert_eq!(version::checked(good), Ok(expected));
    }
    for bad in [
        "", "v", "1.2.3.4", "01.2", "1..2", "1.2-rc", "1.2.3-", "1.2.3-01", "1.2.3+", "1.x",
    ] {
        assert!(version::checked(bad).is_err(), "{bad}");
    }
}

#[test]
fn it_is_printed_as_it_is_usually_written() {
    let text = "\
FROM llama3.2
PARAMETER temperature 0.5
PARAMETER stop <|end|>
SYSTEM \"\"
LICENSE \" MIT\"
TEMPLATE \"{{ .System }}
{{ .Prompt }}\"
MESSAGE user \"\"\"Say \"yes\"
or \"no\".\"\"\"
";
    let modelfile = Modelfile::parse(text.as_bytes()).unwrap();
    assert_eq!(modelfile.to_string(), text);
}

#[test]
fn what_no_quotes_can_hold_is_refused() {
    for (value, written) in [
        ("a\"\"\"\nb", false),
        ("a\"\"\" \t\rb", false),
        ("\"\"\"\n", false),
        ("a\"\"\"", true),
        ("\"\"\"a\nb\"\"\"", true),
        ("\"\"\n\"\"", true),
    ] {
        let modelfile = Modelfile::new(vec![from("m"), system(value)]);
        assert_eq!(modelfile.is_ok(), written, "{value:?}");
        if let Ok(modelfile) = modelfile {
            assert_eq!(parsed(&modelfile.to_string()), modelfile.instructions());
        }
    }
    assert!(Modelfile::new(vec![from("")]).is_err());
    assert!(Modelfile::new(vec![system("s")]).is_err());
    assert!(Modelfile::new(vec![from("m"), Instruction::Requires("v1".into())]).is_err());
}

#[test]
fn a_stored_model_is_printed_as_a_modelfile() {
    let parameters =
        json!({"num_ctx": 4096.0, "seed": 1e20, "stop": ["<a>", " b"], "temperature": 0.1, "x": 1});
    let stored = Stored {
        name: "mario:latest".into(),
        files: vec!["/blobs/sha256-1".into(), "/blobs/sha256-2".into()],
        adapters: vec!["/blobs/sha256-3".into()],
        template: Some("{{ .Prompt }}\n"),
        system: Some("ends\"\"\"\nhere"),
        requires: Some("0.14.0"),
        parameters: parameters.as_object().cloned().unwrap(),
        licenses: vec!["MIT".into()],
        messages: vec![
            ("user".into(), "Hi: \"you\"\n".into()),
            ("tool".into(), "no".into()),
        ],
        ..Stored::default()
    };
    let text = stored.to_modelfile();
    assert_eq!(
        text,
        "# Modelfile generated by \"ollama show\"
# To build a new Modelfile based on this, replace FROM with:
# FROM mario:latest

FROM /blobs/sha256-1
FROM /blobs/sha256-2
ADAPTER /blobs/sha256-3
TEMPLATE \"{{ .Prompt }}
\"
# Left out: SYSTEM cannot be written: a line of its value ends with \"\"\"
REQUIRES 0.14.0
PARAMETER num_ctx 4096
# Left out: PARAMETER seed: parameter seed must be an integer of 64 bits, not '1e+20'
PARAMETER stop <a>
PARAMETER stop \" b\"
PARAMETER temperature 0.1
# Left out: PARAMETER x: unknown parameter 'x'
LICENSE MIT
MESSAGE user \"\"\"Hi: \"you\"
\"\"\"
# Left out: MESSAGE has the role \"tool\"
"
    );
    assert_eq!(parsed(&text).len(), 11);
}

/// Values that are full of what the grammar looks for.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("\"\"\"".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just(" ".to_owned()),
        Just("\u{a0}".to_owned()),
        Just("#".to_owned()),
        Just("FROM x".to_owned()),
        "\\PC{0,3}",
        ".{0,2}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let role = prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant)];
    let numbers = prop_oneof![
        any::<i32>().prop_map(|n| ("num_ctx", n.to_string())),
        any::<i64>().prop_map(|n| ("seed", n.to_string())),
        (-1e30_f64..1e30).prop_map(|n| ("temperature", n.to_string())),
        any::<bool>().prop_map(|b| ("use_mmap", b.to_string())),
    ];
    prop_oneof![
        value().prop_map(Instruction::From),
        value().prop_map(Instruction::Adapter),
        value().prop_map(Instruction::Draft),
        value().prop_map(Instruction::Template),
        value().prop_map(Instruction::System),
        value().prop_map(Instruction::License),
        value().prop_map(Instruction::Renderer),
        value().prop_map(Instruction::Parser),
        "[1-9]?[0-9]\\.[0-9]\\.[0-9](-[a-z]{1,4})?".prop_map(Instruction::Requires),
        value().prop_map(|text| parameter("stop", &text)),
        numbers.prop_map(|(name, text)| parameter(name, &text)),
        (role, value()).prop_map(|(role, text)| Instruction::Message(role, text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn what_is_printed_is_read_again(instructions in proptest::collection::vec(instruction(), 0..6)) {
        // What cannot be written is refused, all else comes back as it was.
        let mut kept: Vec<Instruction> =
            instructions.into_iter().filter(|one| one.check().is_ok()).collect();
        kept.push(from("m"));
        let modelfile = Modelfile::new(kept).unwrap();
        let printed = modelfile.to_string();
        let again = Modelfile::parse(printed.as_bytes());
        prop_assert_eq!(again.as_ref().ok(), Some(&modelfile), "{}", printed);
    }

    #[test]
    fn what_was_read_is_printed_so_that_it_is_read_again(values in proptest::collection::vec(value(), 1..4)) {
        let words = ["FROM ", "SYSTEM ", "PARAMETER stop ", "MESSAGE user "];
        let lines = words.iter().zip(values).map(|(word, value)| format!("{word}{value}\n"));
        if let Ok(modelfile) = Modelfile::parse(lines.collect::<String>().as_bytes()) {
            let again = Modelfile::parse(modelfile.to_string().as_bytes());
            prop_assert_eq!(again.ok(), Some(modelfile));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Modelfile::parse(&bytes);
    }
}
