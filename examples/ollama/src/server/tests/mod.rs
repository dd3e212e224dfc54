//! The server with fake runners: every route, in process and over real connections.

mod access;
mod anthropic;
mod capabilities;
mod chat;
mod completions;
mod generate;
mod http;
mod keys;
mod live;
mod malformed;
mod manage;
mod openai;
mod options;
mod others;
mod responses;
mod security;
mod soak;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use llamakit_testkit::tiny::{self, Tiny};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) use live::Live;

use super::app::App;
use super::gate::Peer;
use super::transfer::Transfer;
use super::{routes, serve};
use crate::name::Name;
use crate::runner::fake::FakeLauncher;
use crate::runner::wire::Completion;
use crate::settings::Settings;
use crate::store::manifest::media;
use crate::store::{Config, Layer, Manifest, Store};

/// A template that knows no tools and no thoughts.
pub(crate) const PLAIN: &str =
    "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>\n{{ end }}<|assistant|>";

/// One that knows both.
pub(crate) const FULL: &str = r#"{{- if .Tools }}<|tools|>{{ .Tools }}<|end|>
{{ end }}{{- range .Messages }}<|{{ .Role }}|>
{{- if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}
{{- range .ToolCalls }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>{{ end }}<|end|>
{{ end }}<|assistant|>"#;

/// A server without a socket.
pub(crate) struct Bench {
    pub app: Arc<App>,
    pub router: Router,
    pub launcher: FakeLauncher,
    pub store: Store,
    pub dir: tempfile::TempDir,
}

/// A reply that came whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: String,
}

impl Reply {
    pub(super) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The lines of a stream.
    #[track_caller]
    pub(super) fn lines(&self) -> Vec<Value> {
        assert!(self.body.ends_with('\n'), "{self:?}");
        let lines = self.body.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }

    /// The events of a stream: name and data.
    #[track_caller]
    pub(super) fn events(&self) -> Vec<(String, Value)> {
        let events = self.body.split("\n\n").filter(|event| !event.is_empty());
        events
            .map(|event| {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let data = field("data: ").unwrap_or_else(|| panic!("no data: {event}"));
                let data = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
                (field("event: ").unwrap_or_default().to_owned(), data)
            })
            .collect()
    }

    #[track_caller]
    pub(super) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }

    /// The error of Ollama's API.
    #[track_caller]
    pub(super) fn error(&self) -> String {
        assert!(!self.status.is_success(), "{self:?}");
        self.json()["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:?}"))
            .to_owned()
    }
}

pub(super) fn settings(dir: &std::path::Path, more: &[(&str, &str)]) -> Settings {
    let home = dir.as_os_str().to_owned();
    let settings = Settings::read(|name| match name {
        "HOME" | "USERPROFILE" => Some(home.clone()),
        "OLLAMA_MODELS" => Some(dir.join("models").into_os_string()),
        name => more
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).into()),
    });
    settings.unwrap()
}

impl Bench {
    /// With the models `m` (tools, thinking), `plain`, and `embed`.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(more: &[(&str, &str)]) -> Self {
        Self::made(FakeLauncher::default(), Transfer::unavailable(), more)
    }

    pub(crate) fn made(launcher: FakeLauncher, transfer: Transfer, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("models")).unwrap();
        let settings = settings(dir.path(), more);
        add(&store, "m", &tiny::llama(), Some(FULL));
        add(&store, "plain", &tiny::llama(), Some(PLAIN));
        add(&store, "embed", &tiny::bert(), None);
        let app = serve::app(
            &settings,
            store.clone(),
            Arc::new(launcher.clone()),
            transfer,
        )
        .unwrap();
        Self {
            router: routes::router(Arc::clone(&app)),
            app,
            launcher,
            store,
            dir,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        Reply::read(self.begin(request).await).await
    }

    /// Asks, and reads nothing of the reply's body yet.
    pub(super) async fn begin(&self, mut request: Request<Body>) -> Response {
        if request.extensions().get::<Peer>().is_none() {
            request
                .extensions_mut()
                .insert(Peer("127.0.0.1:50000".parse::<SocketAddr>().unwrap()));
        }
        if !request.headers().contains_key(header::HOST) {
            request
                .headers_mut()
                .insert(header::HOST, "localhost:11434".parse().unwrap());
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(request(Method::POST, path, body.to_string()))
            .await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path, "")).await
    }

    pub(crate) fn launches(&self) -> usize {
        self.launcher.launches.load(Ordering::SeqCst)
    }

    /// What the runner was asked last.
    pub(crate) fn asked(&self) -> Completion {
        self.launcher
            .seen
            .lock()
            .unwrap()
            .last()
            .expect("a runner was asked")
            .clone()
    }
}

pub(super) fn request(method: Method, path: &str, body: impl Into<String>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.into()))
        .unwrap()
}

/// Puts a model into the store.
pub(crate) fn add(store: &Store, name: &str, tiny: &Tiny, template: Option<&str>) {
    add_with(store, name, tiny, template, &[]);
}

/// With further layers, by media type.
pub(crate) fn add_with(
    store: &Store,
    name: &str,
    tiny: &Tiny,
    template: Option<&str>,
    more: &[(&str, &str)],
) {
    let put = |kind: &str, bytes: &[u8]| {
        let (digest, size) = store.put_bytes(bytes).unwrap();
        Layer::new(kind, digest, size)
    };
    let mut layers = vec![put(media::MODEL, &tiny.bytes())];
    if let Some(template) = template {
        layers.push(put(media::TEMPLATE, template.as_bytes()));
    }
    layers.extend(more.iter().map(|(kind, text)| put(kind, text.as_bytes())));
    let config = Config {
        model_format: "gguf".to_owned(),
        model_family: tiny.arch().to_owned(),
        model_type: "1M".to_owned(),
        file_type: "F32".to_owned(),
        ..Config::default()
    };
    let config = put(media::CONFIG, &config.to_bytes().unwrap());
    let name = Name::parse(name).unwrap();
    store
        .put_manifest(&name, &Manifest::new(config, layers))
        .unwrap();
}

/// A tool that tells the weather.
pub(super) fn weather() -> Value {
    json!({
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": { "city": { "type": "string" } },
                "required": ["city"],
            },
        },
    })
}

/// What the fake says to call it.
pub(super) const CALL: &str = "say:<tool_call>\\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\\n</tool_call>";

pub(super) fn path_of(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().to_owned()
}
