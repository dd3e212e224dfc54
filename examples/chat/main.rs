//! A chat in the terminal: `cargo run --release --example chat`.
//!
//! Without `--model` it fetches a small model first. `--help` lists the options.

mod conversation;
mod interrupt;
mod options;
mod terminal;

use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use llamakit::chat::{AnswerParser, AnswerPart, ChatTemplate, Message, Thinking};
use llamakit::sampler::Sampler;
use llamakit::{Context, ContextParams, EndReason, Model, ModelParams, Token, Usage, gguf};
use llamakit_testkit::fetch;

use conversation::{Conversation, Prompt};
use interrupt::Interrupt;
use options::{Options, Parsed};
use terminal::{Input, Output, note};

/// Upstream's and most servers' choice; the KV cache takes memory for all of it.
const DEFAULT_CONTEXT: u32 = 4096;

/// What shells report for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os()) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => {
            return match terminal::print(options::HELP) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Err(message) => {
            note(format_args!("error: {message}; --help lists the options"));
            return ExitCode::FAILURE;
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.verbose {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .with_writer(io::stderr)
            .init();
    }
    let mut chat = Chat::new(options)?;
    if let Some(prompt) = &options.prompt {
        return Ok(if chat.turn(&prompt.read()?)? {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(INTERRUPTED)
        });
    }
    let mut input = Input::new()?;
    if input.is_interactive() {
        note(format_args!(
            "{}, context of {} tokens. Ctrl-C stops an answer, Ctrl-D leaves.",
            chat.name,
            chat.context.context_length()
        ));
    }
    while let Some(line) = input.line()? {
        match chat.turn(&line) {
            // The next message may well work: what failed is this message.
            Err(error) if input.is_interactive() && !is_broken_pipe(&*error) => {
                note(format_args!("error: {error}"));
            }
            other => {
                other?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What lives as long as the program.
struct Chat<'a> {
    options: &'a Options,
    /// The model's file name.
    name: String,
    context: Context,
    /// `None` continues plain text.
    conversation: Option<Conversation>,
    interrupt: Interrupt,
    output: Output,
}

/// What one answer took.
struct Answer {
    said: Message,
    /// As the model wrote it.
    text: String,
    tokens: Vec<Token>,
    usage: Usage,
    end: Option<EndReason>,
    /// Until the prompt was computed, until the first text, until the end.
    times: [Duration; 3],
}

impl<'a> Chat<'a> {
    fn new(options: &'a Options) -> Result<Self, Box<dyn Error>> {
        let path = match &options.model {
            Some(path) => path.clone(),
            None => fetch::model(fetch::SMOLLM2)?,
        };
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        // Found out before a large model is loaded and anybody has typed anything.
        let conversation = match options.raw {
            true => None,
            false => Some(conversation(&path, options)?),
        };
        let mut params = ModelParams::new();
        if let Some(layers) = options.gpu_layers {
            params = params.gpu_layers(layers);
        }
        let model = Model::load_with_progress(path, &params, terminal::load_progress())?;
        let context = Context::new(&model, &context_params(&model, options))?;
        let interrupt = Interrupt::install(context.abort_handle())?;
        Ok(Self {
            options,
            name,
            context,
            conversation,
            interrupt,
            output: Output::new(),
        })
    }

    /// Answers one message; false when Ctrl-C stopped the answer.
    fn turn(&mut self, message: &str) -> Result<bool, Box<dyn Error>> {
        let prompt = match &mut self.conversation {
            None => Prompt::raw(message, self.context.model().vocab())?,
            Some(conversation) => {
                conversation.ask(message, &self.context, self.options.max_tokens)?
            }
        };
        if prompt.dropped > 0 {
            note(format_args!(
                "(the context is full: forgot the oldest {} messages)",
                prompt.dropped
            ));
        }
        let answer = self.answer(&prompt)?;
        match answer.end {
            Some(EndReason::MaxTokens) => note("(stopped by --max-tokens)"),
            Some(EndReason::ContextFull) => note("(stopped: the context is full; see --ctx)"),
            _ => {}
        }
        if self.options.stats {
            note(stats(&answer));
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.answered(message, prompt, answer.said, answer.text, &answer.tokens);
        }
        Ok(!self.interrupt.was_pressed())
    }

    fn answer(&mut self, prompt: &Prompt) -> Result<Answer, Box<dyn Error>> {
        loop {
            let answer = self.generate(prompt)?;
            let aborted = answer.end == Some(EndReason::Aborted);
            if aborted && answer.tokens.is_empty() && !self.interrupt.was_pressed() {
                // A Ctrl-C that came after the end of the last answer stopped the start of this one.
                continue;
            }
            self.output.end()?;
            return Ok(answer);
        }
    }

    fn generate(&mut self, prompt: &Prompt) -> Result<Answer, Box<dyn Error>> {
        // A sampler per answer: the prompt is told to it anew each time.
        let mut sampler = match &self.options.sampling {
            Some(params) => params.build()?,
            None => Sampler::greedy(),
        };
        let _answering = self.interrupt.answering();
        let started = Instant::now();
        let mut generation = self
            .context
            .generate(&prompt.tokens, &mut sampler)?
            .max_tokens(self.options.max_tokens)
            .special_texts(prompt.format.markers())?;
        let prefilled = started.elapsed();
        let mut first = None;
        let mut text = String::new();
        // There are no tools: what looks like a call is text.
        let mut parser = AnswerParser::new(&prompt.format).tools(&[]);
        let mut parts = Vec::new();
        let mut show = |new: Vec<AnswerPart>| {
            for part in new {
                self.output.part(&part)?;
                AnswerPart::merge(&mut parts, part);
            }
            io::Result::Ok(())
        };
        while !self.interrupt.was_pressed()
            && let Some(piece) = generation.next()
        {
            let piece = piece?;
            first.get_or_insert_with(|| started.elapsed());
            show(parser.push(&piece))?;
            text.push_str(&piece);
        }
        show(parser.finish())?;
        let total = started.elapsed();
        Ok(Answer {
            said: AnswerPart::message(&parts),
            text,
            tokens: generation.tokens().to_vec(),
            usage: generation.usage(),
            end: generation.end_reason(),
            times: [prefilled, first.unwrap_or(total), total],
        })
    }
}

/// An empty conversation in the format of the model's own template.
fn conversation(path: &Path, options: &Options) -> Result<Conversation, Box<dyn Error>> {
    let file = gguf::File::open(path)?;
    let plain =
        |error: llamakit::Error| format!("{error}; use --raw to let it continue plain text");
    let template = ChatTemplate::from_gguf(&file).map_err(plain)?;
    let mut thinking = Thinking::Default;
    if options.no_think {
        thinking = Thinking::Off;
        if !template.capabilities()?.thinking_switch {
            note("(the model's template has no switch for thinking: --no-think has no effect)");
        }
    }
    let conversation = Conversation::new(template, options.system.as_deref(), thinking);
    conversation.render("Hello").map_err(plain)?;
    Ok(conversation)
}

fn context_params(model: &Model, options: &Options) -> ContextParams {
    let trained = match model.context_length() {
        0 => DEFAULT_CONTEXT,
        tokens => tokens,
    };
    let length = options.ctx.unwrap_or(trained.min(DEFAULT_CONTEXT));
    if length > trained {
        note(format_args!(
            "(the model was trained with a context of {trained} tokens; \
             beyond that its answers get worse)"
        ));
    }
    let params = ContextParams::new().context_length(length).outputs_max(1);
    match options.threads {
        Some(count) => params.threads(count),
        None => params,
    }
}

fn stats(answer: &Answer) -> String {
    let Usage {
        prompt_tokens,
        cached_tokens,
        generated_tokens,
        ..
    } = answer.usage;
    let [prefilled, first, total] = answer.times.map(|time| time.as_secs_f64());
    let rate = |count: usize, seconds: f64| count as f64 / seconds.max(f64::EPSILON);
    format!(
        "(prompt: {prompt_tokens} tokens, {cached_tokens} cached, {:.1} tokens/s; \
         answer: {generated_tokens} tokens, {:.1} tokens/s; first text after {first:.3} s)",
        rate(prompt_tokens - cached_tokens, prefilled),
        rate(generated_tokens, total - prefilled),
    )
}
