//! `ollama serve`: from settings to a server that runs until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::app::{App, Rules};
use super::key_file::KeyFile;
use super::listen::listen;
use super::metrics::Metrics;
use super::model::Models;
use super::transfer::Transfer;
use super::{logs, memory, routes};
use crate::error::{Error, Kind, Result};
use crate::registry::{self, Registry};
use crate::runner::launch::{Launcher, ProcessLauncher};
use crate::scheduler::{Config, Scheduler};
use crate::settings::{AllowedHost, Settings};
use crate::store::Store;
use crate::tasks;

/// Requests that a model computes at once when nobody says.
const PARALLEL: u32 = 4;
/// How long running answers may take when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until a signal says to stop.
///
/// # Errors
/// [`Kind::Invalid`] for settings that can't be, [`Kind::Network`] when the address can't be listened on.
pub fn serve(settings: &Settings) -> Result<()> {
    logs::begin(settings.debug);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The cores are the runners'. Two threads would wake each other for each token, and what takes long has
        // threads of its own.
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Storage, format!("no threads: {error}")))?;
    tasks::block_on(&runtime, run(settings))
}

async fn run(settings: &Settings) -> Result<()> {
    let listeners = bind(settings).await?;
    let store = Store::open(&settings.models)?;
    tidy(&store, settings);
    let launcher = ProcessLauncher::own()
        .map_err(|error| Error::new(Kind::Storage, format!("cannot find this program: {error}")))?;
    let registry = Registry::new(registry::Config::new(settings)?);
    let transfer = Transfer::new(registry, !settings.no_prune);
    let app = app(settings, store, Arc::new(launcher), transfer)?;
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            announce(&app, address);
        }
    }
    let scheduler = app.scheduler.clone();
    let router = routes::router(app);
    listen(listeners, router, stopped(), DRAIN).await;
    scheduler.close(Duration::ZERO).await;
    tracing::info!("stopped");
    Ok(())
}

/// Says where the server listens, and what is open to whom.
fn announce(app: &App, address: SocketAddr) {
    tracing::info!("Listening on {address} (version {})", crate::VERSION);
    if address.ip().is_loopback() {
        return;
    }
    match (&app.keys, app.rules.insecure_manage) {
        (Some(_), _) => tracing::info!("{address} is open to other machines, with API keys only"),
        (None, false) => tracing::warn!(
            "{address} is open to other machines: anybody there may use models and see which there are; \
             managing them is for this machine only. OLLAMA_API_KEYS closes it"
        ),
        (None, true) => tracing::warn!(
            "{address} is open to other machines: anybody there may use, pull, create and delete models. \
             OLLAMA_API_KEYS closes it"
        ),
    }
}

async fn bind(settings: &Settings) -> Result<Vec<TcpListener>> {
    let host = match settings.host.host.as_str() {
        "" => "::",
        host => host,
    };
    let port = settings.host.port;
    let cannot = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                ": is a server running already? OLLAMA_HOST sets another address"
            }
            _ => "",
        };
        let at = settings.host.authority();
        Error::new(
            Kind::Network,
            format!("cannot listen on {at}: {error}{hint}"),
        )
    };
    let listener = match TcpListener::bind((host, port)).await {
        Ok(listener) => listener,
        // A machine without IPv6.
        Err(_) if host == "::" => TcpListener::bind(("0.0.0.0", port)).await.map_err(cannot)?,
        Err(error) => return Err(cannot(error)),
    };
    Ok(vec![listener])
}

/// Removes what no model uses. Whatever is wrong with the store, the server starts.
fn tidy(store: &Store, settings: &Settings) {
    if let Err(error) = store.rename_old_blobs() {
        tracing::warn!(%error, "cannot rename blobs of an older version");
    }
    for neighbour in store.neighbours() {
        tracing::warn!("{neighbour}");
    }
    if settings.no_prune {
        return;
    }
    match store.prune() {
        Ok(pruned) if pruned.blobs > 0 => {
            tracing::info!(
                blobs = pruned.blobs,
                bytes = pruned.bytes,
                "removed unused blobs"
            );
        }
        Ok(pruned) => {
            if let Some(why) = pruned.skipped {
                tracing::warn!(why, "unused blobs were not removed");
            }
        }
        Err(error) => tracing::warn!(%error, "cannot remove unused blobs"),
    }
}

/// What the routes share.
pub(crate) fn app(
    settings: &Settings,
    store: Store,
    launcher: Arc<dyn Launcher>,
    transfer: Transfer,
) -> Result<Arc<App>> {
    let parallel = settings.num_parallel.unwrap_or(PARALLEL).min(256);
    let queue = settings.max_queue as usize;
    let keys = settings.api_keys.as_deref().map(KeyFile::open);
    let keys = keys.transpose()?.map(Arc::new);
    if let Some(keys) = &keys {
        tasks::spawn(KeyFile::watch(Arc::downgrade(keys)));
    }
    let scheduler = Scheduler::new(
        launcher,
        Config {
            max_models: settings
                .max_loaded_models
                .map_or(usize::MAX, |most| most as usize),
            max_queue: queue,
            parallel: parallel as usize,
            budget: settings.memory_budget.unwrap_or_else(memory::budget),
            load_timeout: settings.load_timeout,
            health_timeout: Duration::from_secs(15),
            hang_limit: Duration::from_secs(330),
        },
    );
    Ok(Arc::new(App {
        models: Arc::new(Models::new(store, settings.go_template)),
        scheduler,
        keys,
        rules: Rules {
            hosts: hosts(settings),
            origins: settings.origins.clone(),
            insecure_manage: settings.insecure_manage,
            strict: settings.strict,
            keep_alive: settings.keep_alive,
            context_length: settings.context_length,
            num_gpu: settings
                .num_gpu
                .and_then(|layers| u32::try_from(layers).ok()),
            parallel,
            // The scheduler counts who waits; the runner takes all that it lets through.
            queue: queue.saturating_add(parallel as usize),
            kv_cache: settings
                .kv_cache_type
                .clone()
                .unwrap_or_else(|| "f16".to_owned()),
            flash_attention: settings.flash_attention,
            deterministic: settings.deterministic,
            log_prompts: settings.debug == crate::settings::Debug::Trace,
        },
        metrics: Metrics::default(),
        transfer,
        started: Instant::now(),
    }))
}

/// Names of this server: those that the settings add, the one that it listens at, and the machine's.
fn hosts(settings: &Settings) -> Vec<AllowedHost> {
    let own = [
        Some(settings.host.host.clone()),
        sysinfo::System::host_name(),
    ];
    // Addresses are accepted anyway; a machine's name may be anything.
    let own = own
        .into_iter()
        .flatten()
        .filter_map(|name| match AllowedHost::parse(&name) {
            Ok(AllowedHost::Name(name)) => Some(AllowedHost::Name(name)),
            _ => None,
        });
    settings.allowed_hosts.iter().cloned().chain(own).collect()
}

/// Ends when the process is told to.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
