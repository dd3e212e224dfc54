//! Programs of formats whose calls are elements.

use super::{Label, Make, Op, Otherwise, Program, Register, Typed, text};

/// Calls as elements: a name, then its arguments one by one.
pub(super) struct Tags {
    /// What is around one call or several.
    outer: &'static [(&'static str, &'static str)],
    /// Whether a call may stand without it.
    alone: bool,
    call: (&'static str, &'static str, &'static str),
    key: &'static str,
    key_end: &'static str,
    /// What may be between that and the value, and the type that it says.
    value: &'static [(&'static str, Typed)],
    end: &'static str,
}

pub(super) const QWEN3_CODER: Tags = Tags {
    outer: &[("<tool_call>", "</tool_call>")],
    alone: true,
    call: ("<function=", ">", "</function>"),
    key: "<parameter=",
    key_end: ">",
    value: &[("", Typed::Lines)],
    end: "</parameter>",
};

pub(super) const SEED: Tags = Tags {
    outer: &[("<seed:tool_call>", "</seed:tool_call>")],
    ..QWEN3_CODER
};

pub(super) const MINIMAX: Tags = Tags {
    outer: &[("<minimax:tool_call>", "</minimax:tool_call>")],
    alone: false,
    call: ("<invoke name=\"", "\">", "</invoke>"),
    key: "<parameter name=\"",
    key_end: "\"",
    value: &[(">", Typed::Schema)],
    end: "</parameter>",
};

pub(super) const DEEPSEEK_V32: Tags = Tags {
    outer: &[
        ("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
        ("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
    ],
    alone: false,
    call: ("<｜DSML｜invoke name=\"", "\">", "</｜DSML｜invoke>"),
    key: "<｜DSML｜parameter name=\"",
    key_end: "\"",
    value: &[
        (" string=\"true\">", Typed::Text),
        (" string=\"false\">", Typed::Json),
        (">", Typed::Schema),
    ],
    end: "</｜DSML｜parameter>",
};

impl Tags {
    pub(super) fn program(&self) -> Program {
        const CALL: Label = 1;
        const ARGUMENTS: Label = 2;
        const KEY: Label = 3;
        const MADE: Label = 4;
        const END: Label = 5;
        const VALUES: Label = 10;
        let mut ops = vec![
            Op::Label(0),
            Op::Space,
            Op::Literal(text(self.call.0)),
            Op::Label(CALL),
            Op::Begin,
            Op::Until(Register::Name, text(self.call.1)),
            Op::Commit,
            Op::Label(ARGUMENTS),
            Op::Space,
            Op::Switch(
                vec![(text(self.key), KEY), (text(self.call.2), MADE)],
                Otherwise::Fail,
            ),
            Op::Label(KEY),
        ];
        ops.push(Op::Until(Register::Key, text(self.key_end)));
        let choices = self.value.iter().zip(VALUES..);
        ops.push(Op::Switch(
            choices.map(|((rest, _), l)| (text(rest), l)).collect(),
            Otherwise::Fail,
        ));
        for ((_, typed), label) in self.value.iter().zip(VALUES..) {
            ops.extend([
                Op::Label(label),
                Op::Argument(text(self.end), *typed),
                Op::Goto(ARGUMENTS),
            ]);
        }
        let mut next = vec![(text(self.call.0), CALL)];
        next.extend(self.outer.iter().map(|(_, close)| (text(close), END)));
        ops.extend([
            Op::Label(MADE),
            Op::Make(Make::Arguments),
            Op::Space,
            Op::Switch(next, Otherwise::End),
            Op::Label(END),
            Op::End,
        ]);
        let mut program = Program::new(ops).inner(&[self.key, self.end]);
        for (open, close) in self.outer {
            program = program.enter(*open, 0).close(*close);
        }
        if self.alone {
            program = program.enter(self.call.0, CALL);
        } else {
            program = program.inner(&[self.call.0]);
        }
        program.close(self.call.2)
    }
}
