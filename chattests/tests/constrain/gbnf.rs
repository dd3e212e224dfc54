//! GBNF as llama.cpp's users write it. Each grammar stands here twice: as text, and as a value that is
//! matched and derived in the most obvious way.

use std::collections::{BTreeSet, HashMap};

use llamakit::ErrorKind;
use llamakit::constrain::Constraint;

use crate::random::{Dice, End, accepts, answer, bytes, pieces};

/// What a rule matches.
#[derive(Clone)]
enum Is {
    Text(&'static str),
    One(fn(char) -> bool),
    Rule(&'static str),
    Seq(Vec<Is>),
    /// The last of them is where derivations end.
    Any(Vec<Is>),
    Times(Box<Is>, usize, usize),
}

use Is::{Any, One, Rule, Seq, Text};

fn times(what: Is, least: usize, most: usize) -> Is {
    Is::Times(Box::new(what), least, most)
}

const MANY: usize = 1000;

struct Grammar {
    text: &'static str,
    rules: HashMap<&'static str, Is>,
}

fn grammar(text: &'static str, rules: impl IntoIterator<Item = (&'static str, Is)>) -> Grammar {
    Grammar {
        text,
        rules: rules.into_iter().collect(),
    }
}

/// Where matches that begin at a place may end.
struct Ends<'a> {
    grammar: &'a Grammar,
    text: &'a [char],
    known: HashMap<(&'static str, usize), BTreeSet<usize>>,
}

impl Ends<'_> {
    fn of(&mut self, is: &Is, at: usize) -> BTreeSet<usize> {
        match is {
            Text(text) => {
                let text: Vec<char> = text.chars().collect();
                let found = self.text[at..].starts_with(&text);
                found.then_some(at + text.len()).into_iter().collect()
            }
            One(is) => {
                let found = self.text.get(at).is_some_and(|&c| is(c));
                found.then_some(at + 1).into_iter().collect()
            }
            Rule(name) => {
                if let Some(ends) = self.known.get(&(*name, at)) {
                    return ends.clone();
                }
                let rule = self.grammar.rules[name].clone();
                let ends = self.of(&rule, at);
                self.known.insert((*name, at), ends.clone());
                ends
            }
            Seq(parts) => parts.iter().fold(BTreeSet::from([at]), |starts, part| {
                starts
                    .into_iter()
                    .flat_map(|start| self.of(part, start))
                    .collect()
            }),
            Any(parts) => parts.iter().flat_map(|part| self.of(part, at)).collect(),
            Is::Times(part, least, most) => {
                let (mut all, mut now) = (BTreeSet::new(), BTreeSet::from([at]));
                for count in 0..=*most {
                    if count >= *least {
                        let before = all.len();
                        all.extend(&now);
                        if all.len() == before {
                            break;
                        }
                    }
                    now = now
                        .into_iter()
                        .flat_map(|start| self.of(part, start))
                        .collect();
                }
                all
            }
        }
    }
}

fn matches(grammar: &Grammar, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut ends = Ends {
        grammar,
        text: &text,
        known: HashMap::new(),
    };
    ends.of(&Rule("root"), 0).contains(&text.len())
}

/// A text of the grammar.
fn derive(grammar: &Grammar, is: &Is, dice: &mut Dice, depth: usize, out: &mut String) {
    match is {
        Text(text) => out.push_str(text),
        One(is) => {
            let mut chars = (1..0x250).filter_map(char::from_u32).filter(|&c| is(c));
            let count = chars.clone().count();
            out.extend(chars.nth(dice.below(count)));
        }
        Rule(name) => derive(grammar, &grammar.rules[name], dice, depth + 1, out),
        Seq(parts) => parts
            .iter()
            .for_each(|part| derive(grammar, part, dice, depth, out)),
        Any(parts) => {
            let part = match depth {
                0..12 => dice.below(parts.len()),
                _ => parts.len() - 1,
            };
            derive(grammar, &parts[part], dice, depth + 1, out);
        }
        Is::Times(part, least, most) => {
            let more = if depth < 12 {
                (*most - *least).min(3)
            } else {
                0
            };
            for _ in 0..*least + dice.below(more + 1) {
                derive(grammar, part, dice, depth + 1, out);
            }
        }
    }
}

fn blanks() -> Is {
    times(One(|c| " \t\n".contains(c)), 0, MANY)
}

fn grammars() -> Vec<Grammar> {
    let digits = |least| times(One(|c| c.is_ascii_digit()), least, MANY);
    let json_blanks = || {
        Any(vec![
            Text(" "),
            Seq(vec![Text("\n"), times(One(|c| " \t".contains(c)), 0, 20)]),
            Text(""),
        ])
    };
    vec![
        // What may follow a blank can be one.
        grammar(
            "root  ::= (expr \"=\" ws term \"\\n\")+\n\
             expr  ::= term ([-+*/] term)*\n\
             term  ::= ident | num | \"(\" ws expr \")\" ws\n\
             ident ::= [a-z] [a-z0-9_]* ws\n\
             num   ::= [0-9]+ ws\n\
             ws    ::= [ \\t\\n]*\n",
            [
                (
                    "root",
                    times(
                        Seq(vec![
                            Rule("expr"),
                            Text("="),
                            blanks(),
                            Rule("term"),
                            Text("\n"),
                        ]),
                        1,
                        MANY,
                    ),
                ),
                (
                    "expr",
                    Seq(vec![
                        Rule("term"),
                        times(
                            Seq(vec![One(|c| "-+*/".contains(c)), Rule("term")]),
                            0,
                            MANY,
                        ),
                    ]),
                ),
                (
                    "term",
                    Any(vec![
                        Seq(vec![Text("("), blanks(), Rule("expr"), Text(")"), blanks()]),
                        Seq(vec![
                            One(|c| c.is_ascii_lowercase()),
                            times(
                                One(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                                0,
                                MANY,
                            ),
                            blanks(),
                        ]),
                        Seq(vec![digits(1), blanks()]),
                    ]),
                ),
            ],
        ),
        grammar(
            "# a list\nroot ::= item+\n\n# Excludes various line break characters\n\
             item ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"\n",
            [
                ("root", times(Rule("item"), 1, MANY)),
                (
                    "item",
                    Seq(vec![
                        Text("- "),
                        times(
                            One(|c| !"\r\n\u{b}\u{c}\u{85}\u{2028}\u{2029}".contains(c)),
                            1,
                            MANY,
                        ),
                        Text("\n"),
                    ]),
                ),
            ],
        ),
        grammar(
            "root   ::= object\n\
             value  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n\
             \n\
             object ::=\n  \"{\" ws (\n            string \":\" ws value\n    (\",\" ws string \":\" ws value)*\n  )? \"}\" ws\n\
             \n\
             array  ::=\n  \"[\" ws (\n            value\n    (\",\" ws value)*\n  )? \"]\" ws\n\
             \n\
             string ::=\n  \"\\\"\" (\n    [^\"\\\\\\x7F\\x00-\\x1F] |\n    \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) # escapes\n  )* \"\\\"\" ws\n\
             \n\
             number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws\n\
             \n\
             # Optional space: by convention, applied in this grammar after literal chars when allowed\n\
             ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n",
            [
                ("root", Rule("object")),
                (
                    "value",
                    Any(vec![
                        Rule("object"),
                        Seq(vec![
                            Text("["),
                            json_blanks(),
                            times(
                                Seq(vec![
                                    Rule("value"),
                                    times(
                                        Seq(vec![Text(","), json_blanks(), Rule("value")]),
                                        0,
                                        MANY,
                                    ),
                                ]),
                                0,
                                1,
                            ),
                            Text("]"),
                            json_blanks(),
                        ]),
                        Rule("string"),
                        Rule("number"),
                        Seq(vec![
                            Any(vec![Text("true"), Text("false"), Text("null")]),
                            json_blanks(),
                        ]),
                    ]),
                ),
                (
                    "object",
                    Seq(vec![
                        Text("{"),
                        json_blanks(),
                        times(
                            Seq(vec![
                                Rule("member"),
                                times(Seq(vec![Text(","), json_blanks(), Rule("member")]), 0, MANY),
                            ]),
                            0,
                            1,
                        ),
                        Text("}"),
                        json_blanks(),
                    ]),
                ),
                (
                    "member",
                    Seq(vec![
                        Rule("string"),
                        Text(":"),
                        json_blanks(),
                        Rule("value"),
                    ]),
                ),
                (
                    "string",
                    Seq(vec![
                        Text("\""),
                        times(
                            Any(vec![
                                Seq(vec![
                                    Text("\\"),
                                    Any(vec![
                                        Seq(vec![
                                            Text("u"),
                                            times(One(|c| c.is_ascii_hexdigit()), 4, 4),
                                        ]),
                                        One(|c| "\"\\bfnrt".contains(c)),
                                    ]),
                                ]),
                                One(|c| c >= ' ' && !"\"\\\u{7f}".contains(c)),
                            ]),
                            0,
                            MANY,
                        ),
                        Text("\""),
                        json_blanks(),
                    ]),
                ),
                (
                    "number",
                    Seq(vec![
                        times(Text("-"), 0, 1),
                        Any(vec![
                            One(|c| c.is_ascii_digit()),
                            Seq(vec![
                                One(|c| ('1'..='9').contains(&c)),
                                times(One(|c| c.is_ascii_digit()), 0, 15),
                            ]),
                        ]),
                        times(Seq(vec![Text("."), digits(1)]), 0, 1),
                        times(
                            Seq(vec![
                                One(|c| "eE".contains(c)),
                                times(One(|c| "-+".contains(c)), 0, 1),
                                One(|c| c.is_ascii_digit()),
                                times(One(|c| ('1'..='9').contains(&c)), 0, 15),
                            ]),
                            0,
                            1,
                        ),
                        json_blanks(),
                    ]),
                ),
            ],
        ),
        // Keywords that begin alike, what ends in the middle of another, and a rule of nothing.
        grammar(
            "root ::= \"a\" root \"b\" | word | nothing \"(\" root? \")\" | \"ab\" root\n\
             word ::= (\"if\" | \"iffy\" | [a-z]{2,4}) tail*\n\
             tail ::= \"-\" | \"--\" [a-c]\nnothing ::= \"\"\n",
            [
                (
                    "root",
                    Any(vec![
                        Seq(vec![Text("a"), Rule("root"), Text("b")]),
                        Seq(vec![Text("ab"), Rule("root")]),
                        Seq(vec![Text("("), times(Rule("root"), 0, 1), Text(")")]),
                        Rule("word"),
                    ]),
                ),
                (
                    "word",
                    Seq(vec![
                        Any(vec![
                            Text("if"),
                            Text("iffy"),
                            times(One(|c| c.is_ascii_lowercase()), 2, 4),
                        ]),
                        times(
                            Any(vec![
                                Seq(vec![Text("--"), One(|c| "abc".contains(c))]),
                                Text("-"),
                            ]),
                            0,
                            MANY,
                        ),
                    ]),
                ),
            ],
        ),
        // All that a class and a text can say.
        grammar(
            "root ::= [\\]\\[\\-a] [^\\U0001F600] . \"\\x41\\u00e9\\t\\\\\\\"\" jp-1 | [a-] \"]\"\r\n\
             jp-1::=[\u{3041}-\u{3096}]{2}[\\u30a1-\\u30fa]{1,}(\"\u{3002}\"){0}x?\nx ::= ([0-9]{0,2})\n",
            [(
                "root",
                Any(vec![
                    Seq(vec![
                        One(|c| "[]-a".contains(c)),
                        One(|c| c != '\u{1f600}'),
                        One(|_| true),
                        Text("A\u{e9}\t\\\""),
                        Text("\u{3042}\u{3042}\u{30a2}"),
                        times(One(|c| c.is_ascii_digit()), 0, 2),
                    ]),
                    Seq(vec![One(|c| "a-".contains(c)), Text("]")]),
                ]),
            )],
        ),
    ]
}

#[test]
fn what_is_derived_from_a_grammar_is_allowed() {
    for grammar in grammars() {
        let constraint = Constraint::gbnf(grammar.text).unwrap();
        for seed in 0..200 {
            let mut text = String::new();
            derive(&grammar, &Rule("root"), &mut Dice::new(seed), 0, &mut text);
            assert!(matches(&grammar, &text), "{text:?}");
            for words in [bytes(), pieces()] {
                assert!(
                    accepts(&constraint, words, &text),
                    "{text:?} by\n{}",
                    grammar.text
                );
            }
        }
    }
}

#[test]
fn what_is_allowed_matches_the_grammar() {
    let mut whole = 0;
    // Of the last one only a part is written down twice.
    for grammar in grammars().into_iter().take(4) {
        let constraint = Constraint::gbnf(grammar.text).unwrap();
        for (seed, words) in (0..60).zip([bytes(), pieces()].into_iter().cycle()) {
            let (text, end) = answer(&constraint, words, &mut Dice::new(seed), 60);
            assert_ne!(end, End::Dead);
            if end == End::Whole {
                whole += 1;
                let text = String::from_utf8(text).unwrap();
                assert!(matches(&grammar, &text), "{text:?} by\n{}", grammar.text);
            }
        }
    }
    assert!(whole > 40, "{whole}");
}

#[test]
fn every_cut_of_a_text_that_does_not_match_is_refused() {
    let grammars = grammars();
    for (grammar, texts) in grammars.iter().zip([
        &["a=", "1+=2\n", "a=b", "a =1\n\n)", "(a=1\n"][..],
        &["- ", "-a\n", "- a\r\n", "- a\nb\n"],
        &[
            "{",
            "{}}",
            "[]",
            "{\"a\":01}",
            "{\"a\" 1}",
            "{\"\\x\":1}",
            "{}\n\n",
            "{\"a\":tru}",
        ],
        &["a", "a(b", "if-d", "(", "())", "abcdefg"],
    ]) {
        let constraint = Constraint::gbnf(grammar.text).unwrap();
        for text in texts {
            assert!(!matches(grammar, text), "{text:?}");
            assert!(
                !accepts(&constraint, bytes(), text),
                "{text:?} by\n{}",
                grammar.text
            );
        }
    }
}

#[test]
fn a_grammar_that_is_none_is_refused_with_line_or_rule() {
    let cases = [
        ("", "\"root\""),
        ("a ::= \"x\"", "\"root\""),
        ("root ::= a\n", "\"a\" is not defined"),
        (
            "root ::= b\nb ::= c \"x\" | \"y\"\nc ::= \"\" b\n",
            "\"b\" begins with itself",
        ),
        (
            "root ::= \"x\" a\na ::= \"y\" root",
            "matches no finite text",
        ),
        (
            "root ::= \"x\" | \"y\" a\na ::= \"(\" a \")\"",
            "\"a\" matches no finite text",
        ),
        (
            "root ::= \"x\"\nroot ::= \"y\"",
            "defined twice (line 2, rule \"root\")",
        ),
        (
            "root ::= \"x\"\na := \"y\"",
            "\"::=\" is missing (line 2, rule \"a\")",
        ),
        ("root ::= \"x", "ends in a text"),
        ("root ::= [a", "ends in a text or a class"),
        ("root ::= []", "a class without characters"),
        ("root ::= [z-a]", "no range"),
        ("root ::= (\"x\"", "\")\" is missing"),
        ("root ::= \"x\")", "')' is not expected"),
        ("root ::= *", "nothing to repeat"),
        ("root ::= \"x\"{2,1}", "at least 2 and at most 1"),
        ("root ::= \"x\"{,2}", "a number is missing"),
        ("root ::= \"\\q\"", "\\q is no escape"),
        ("root ::= \"\\u12\"", "4 hexadecimal digits"),
        (
            "root ::= \"\\ud800\"",
            "4 hexadecimal digits of a character",
        ),
        (
            "root ::= \"\\U00110000\"",
            "8 hexadecimal digits of a character",
        ),
        ("root ::= <[1]", "a token"),
        ("root ::= <[x]>", "\"<[x]>\" is no token"),
        ("root ::= \"\"", "allows no text"),
    ];
    for (text, message) in cases {
        let error = Constraint::gbnf(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        assert!(error.message().contains(message), "{text}: {error}");
    }
}

#[test]
fn tokens_are_asked_for_by_name_and_id() {
    let words = pieces();
    let constraint = Constraint::gbnf(
        "root ::= <call> think \"!\"\nthink ::= (!</think>)* <</think>> | \"?\"\n"
            .replace("<</think>>", "</think>")
            .as_str(),
    )
    .unwrap();
    let mut matcher = constraint.matcher(&words.table).unwrap();
    let call = words.token("<call>");
    assert_eq!(crate::random::allowed(&mut matcher), [call]);
    matcher.accept(call).unwrap();
    // Text alone is every token but this: none that controls, none that ends.
    assert!(matcher.allows(words.token("the")) && matcher.allows(words.token("日本")));
    for no in ["<|start|>", "<call>", "<|end|>"] {
        assert!(!matcher.allows(words.token(no)), "{no}");
    }
    matcher.accept(words.token("the")).unwrap();
    assert!(matcher.allows(words.token("</think>")));
    matcher.accept(words.token("</think>")).unwrap();
    assert!(matcher.allows(words.token("!")) && !matcher.allows(words.token("the")));
    matcher.accept(words.token("!")).unwrap();
    assert!(matcher.is_complete());

    let by_id = format!("root ::= <[{}]>", words.token("[INST]"));
    let mut matcher = Constraint::gbnf(&by_id)
        .unwrap()
        .matcher(&words.table)
        .unwrap();
    assert_eq!(
        crate::random::allowed(&mut matcher),
        [words.token("[INST]")]
    );

    for (grammar, message) in [
        ("root ::= <nobody>", "no token \"<nobody>\""),
        ("root ::= <[99999]>", "token 99999"),
        ("root ::= <|end|>", "ends the answer"),
    ] {
        let error = Constraint::gbnf(grammar)
            .unwrap()
            .matcher(&words.table)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(message), "{error}");
    }
}
