//! What can be typed: every command with its arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

/// Large language model runner
#[derive(Debug, Parser)]
#[command(name = "ollama", bin_name = "ollama", after_help = super::help::HOST)]
pub(crate) struct Cli {
    /// Show version information
    #[arg(short, long)]
    pub(crate) version: bool,
    /// Make no connection to other machines
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start Ollama
    #[command(visible_alias = "start", after_help = super::help::serve())]
    Serve(ServeArgs),
    /// Create a model
    #[command(after_help = super::help::HOST)]
    Create(CreateArgs),
    /// Show information for a model
    #[command(after_help = super::help::HOST)]
    Show(ShowArgs),
    /// Run a model
    #[command(after_help = super::help::run())]
    Run(Box<RunArgs>),
    /// Stop a running model
    #[command(after_help = super::help::HOST)]
    Stop(ModelArgs),
    /// Pull a model from a registry
    #[command(after_help = super::help::HOST)]
    Pull(TransferArgs),
    /// Push a model to a registry
    #[command(after_help = super::help::HOST)]
    Push(TransferArgs),
    /// List models
    #[command(visible_alias = "ls", after_help = super::help::HOST)]
    List(ListArgs),
    /// List running models
    #[command(after_help = super::help::HOST)]
    Ps(PsArgs),
    /// Copy a model
    #[command(after_help = super::help::HOST)]
    Cp(CpArgs),
    /// Remove a model
    #[command(after_help = super::help::HOST)]
    Rm(RmArgs),
    /// Write a model into one file, for machines without network
    Export(ExportArgs),
    /// Take models from a file that export wrote
    Import(ImportArgs),
    /// Measure how fast a model is
    #[command(after_help = super::help::HOST)]
    Bench(BenchArgs),
    /// Say what this program and machine have, and whether the store is sound
    Doctor(DoctorArgs),
    /// Add, list and remove API keys
    #[command(after_help = super::help::keys())]
    Keys(KeysArgs),
    /// Print what a shell needs to complete commands
    Completion(CompletionArgs),
    /// Sign in to ollama.com, which this program does not do
    #[command(hide = true, alias = "login")]
    Signin,
    /// Sign out from ollama.com, which this program does not do
    #[command(hide = true, alias = "logout")]
    Signout,
    /// Start another program, which this program does not do
    #[command(hide = true)]
    Launch(RestArgs),
    /// Serve one model to a server
    #[command(hide = true)]
    Runner(RestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {}

#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Name of the model
    pub(crate) model: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the new model
    pub(crate) model: String,
    /// Name of the Modelfile (default "Modelfile"); "-" for standard input
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// Quantize model to this level (e.g. q4_K_M)
    #[arg(short, long, value_name = "LEVEL")]
    pub(crate) quantize: Option<String>,
    /// Quantize draft model to this level
    #[arg(long, value_name = "LEVEL")]
    pub(crate) draft_quantize: Option<String>,
    /// Of no effect; for scripts that were written for Ollama
    #[arg(long, hide = true)]
    pub(crate) experimental: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name of the model
    pub(crate) model: String,
    /// Show license of a model
    #[arg(long)]
    pub(crate) license: bool,
    /// Show Modelfile of a model
    #[arg(long)]
    pub(crate) modelfile: bool,
    /// Show parameters of a model
    #[arg(long)]
    pub(crate) parameters: bool,
    /// Show template of a model
    #[arg(long)]
    pub(crate) template: bool,
    /// Show system message of a model
    #[arg(long)]
    pub(crate) system: bool,
    /// Show detailed model information
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print what /api/show answers
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Name of the model
    pub(crate) model: String,
    /// What to ask; without it, a conversation begins
    pub(crate) prompt: Vec<String>,
    /// Duration to keep a model loaded (e.g. 5m)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) keepalive: Option<String>,
    /// Show timings for response
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Use an insecure registry
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Don't wrap words to the next line automatically
    #[arg(long)]
    pub(crate) nowordwrap: bool,
    /// Response format (e.g. json)
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Enable thinking mode: true/false or high/medium/low for supported models
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) think: Option<String>,
    /// Hide thinking output (if provided)
    #[arg(long)]
    pub(crate) hidethinking: bool,
    /// Cut what is too long for an embedding model (default true); false for an error
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) truncate: Option<bool>,
    /// Truncate output embeddings to specified dimension (embedding models only)
    #[arg(long)]
    pub(crate) dimensions: Option<u32>,
    /// System message in place of the model's
    #[arg(long)]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) options: OptionArgs,
}

/// Options of the model, as the API has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model options")]
pub(crate) struct OptionArgs {
    /// Length of the context in tokens
    #[arg(long, value_name = "N")]
    pub(crate) num_ctx: Option<u32>,
    /// Most tokens of an answer; -1 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) num_predict: Option<i64>,
    /// Start of the random numbers
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) seed: Option<i64>,
    /// How bold the choice of tokens is; 0 for always the likeliest
    #[arg(long, value_name = "X")]
    pub(crate) temperature: Option<f64>,
    /// Choose among this many tokens
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<i64>,
    /// Choose among tokens that have this probability together
    #[arg(long, value_name = "X")]
    pub(crate) top_p: Option<f64>,
    /// Choose among tokens of this probability against the likeliest one
    #[arg(long, value_name = "X")]
    pub(crate) min_p: Option<f64>,
    /// Text that ends the answer; can be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
    /// Penalty on tokens that were there
    #[arg(long, value_name = "X")]
    pub(crate) repeat_penalty: Option<f64>,
    /// How many tokens back the penalty looks
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) repeat_last_n: Option<i64>,
    /// Layers on the GPU
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) num_gpu: Option<i64>,
    /// Threads to compute with
    #[arg(long, value_name = "N")]
    pub(crate) num_thread: Option<u32>,
    /// Any other option of the API; can be given several times
    #[arg(short, long = "option", value_name = "NAME=VALUE")]
    pub(crate) other: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// Name of the model
    pub(crate) model: String,
    /// Use an insecure registry
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only models whose names begin so
    pub(crate) filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Name of the model
    pub(crate) source: String,
    /// Its further name
    pub(crate) destination: String,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Names of the models
    #[arg(required = true, value_name = "MODEL")]
    pub(crate) models: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Name of the model
    pub(crate) model: String,
    /// The file to write; "-" for standard output
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file to read; "-" for standard input
    pub(crate) file: PathBuf,
    /// Name of the model, in place of the one in the file
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Name of the model
    pub(crate) model: String,
    /// Clients that ask at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// Words of each prompt
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) words: u32,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) tokens: u32,
    /// Requests of each client
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rounds: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also read every blob and compare it with its digest
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key, and print it: only its hash is kept
    Add(AddKeyArgs),
    /// List keys
    #[command(visible_alias = "ls")]
    List(ListKeysArgs),
    /// Remove keys
    #[command(visible_alias = "rm")]
    Remove(RemoveKeysArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddKeyArgs {
    /// Whose key it is; prompts are cached for each name apart
    pub(crate) name: String,
    /// What it may do, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "infer")]
    pub(crate) scopes: Vec<Scope>,
    /// Most requests at the same time
    #[arg(long, value_name = "N")]
    pub(crate) parallel: Option<u32>,
    /// Most requests per minute
    #[arg(long, value_name = "N")]
    pub(crate) per_minute: Option<u32>,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Ask models, and see which there are
    Infer,
    /// Pull, create, copy and delete models, and ask them
    Manage,
}

#[derive(Debug, Args)]
pub(crate) struct ListKeysArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveKeysArgs {
    /// Whose keys
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Whatever it is.
#[derive(Debug, Args)]
pub(crate) struct RestArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<OsString>,
}
