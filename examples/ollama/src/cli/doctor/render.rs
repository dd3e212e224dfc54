//! The report as people read it.

use super::Report;
use super::server::State;
use crate::human;

/// How wide the names of facts are.
const WIDTH: usize = 18;

struct Text(String);

impl Text {
    fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0 += title;
        self.0.push('\n');
    }

    fn fact(&mut self, name: &str, value: impl AsRef<str>) {
        self.0 += &format!("  {name:<WIDTH$}{}\n", value.as_ref());
    }

    fn facts(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let mut name = name;
        for value in values {
            self.fact(name, value);
            name = "";
        }
    }
}

pub(super) fn render(report: &Report) -> String {
    let mut text = Text(String::new());
    program(&mut text, report);
    machine(&mut text, report);
    store(&mut text, report);
    server(&mut text, report);
    if !report.settings.is_empty() {
        text.title("Settings that are not as by default");
        for setting in &report.settings {
            text.0 += &format!("  {}={}\n", setting.name, setting.value);
        }
    }
    for (title, lines) in [
        ("Warnings", &report.warnings),
        ("Problems", &report.problems),
    ] {
        if !lines.is_empty() {
            text.title(title);
            for line in lines {
                text.0 += &format!("  - {line}\n");
            }
        }
    }
    if report.problems.is_empty() {
        text.title("Nothing is broken.");
    }
    text.0
}

fn program(text: &mut Text, report: &Report) {
    let program = &report.program;
    text.title("Program");
    let behaves = format!("{}, as Ollama {}", program.package, program.version);
    text.fact("version", behaves);
    if let Some(path) = &program.path {
        text.fact("file", path);
    }
    let Some(engine) = &program.engine else {
        text.fact("inference", "not built in");
        return;
    };
    let llama = format!(
        "{} ({}), ggml {}",
        engine.llama_cpp, engine.commit, engine.ggml
    );
    text.fact("llama.cpp", llama);
    text.fact("backends", engine.backends.join(", "));
    let native = if engine.native {
        ", for the machine it was built on"
    } else {
        ""
    };
    let compiled = format!("{}{native}", engine.compiled_for.join(" "));
    text.fact("compiled for", compiled);
    let devices = program.devices.iter().map(|device| {
        let total = human::bytes(device.memory_total);
        format!("{} ({}), {total}", device.name, device.description)
    });
    text.facts("devices", devices);
}

fn machine(text: &mut Text, report: &Report) {
    let machine = &report.machine;
    text.title("Machine");
    text.fact(
        "system",
        format!("{}, {}", machine.system, machine.architecture),
    );
    text.fact("CPU", &machine.cpu);
    if let Some(engine) = &report.program.engine {
        text.fact("instruction sets", engine.found.join(" "));
    }
    let mut cpus = format!("{}", machine.cpus);
    if let Some(cores) = machine.cores {
        cpus += &format!(" on {cores} core{}", if cores == 1 { "" } else { "s" });
    }
    if let Some(allowed) = machine.cpus_allowed {
        cpus += &format!(", {allowed} for this process");
    }
    text.fact("CPUs", cpus);
    if let Some(engine) = &report.program.engine {
        text.fact("threads", format!("{} by default", engine.threads));
    }
    let none = || "no limit".to_owned();
    let quota = machine
        .cgroup_cpus
        .map_or_else(none, |cpus| format!("{cpus} CPUs"));
    text.fact("cgroup CPU", quota);
    let available = human::bytes(machine.memory_available);
    let total = human::bytes(machine.memory_total);
    text.fact("memory", format!("{available} available of {total}"));
    let limit = match (machine.cgroup_memory_left, machine.cgroup_memory_limit) {
        (Some(left), Some(limit)) => {
            format!("{} left of {}", human::bytes(left), human::bytes(limit))
        }
        _ => none(),
    };
    text.fact("cgroup memory", limit);
    let by = match machine.memory_budget_set {
        true => "OLLAMA_MEMORY_BUDGET",
        false => "4/5 of what is available",
    };
    let budget = human::bytes(machine.memory_budget);
    text.fact("budget of models", format!("{budget} ({by})"));
}

fn store(text: &mut Text, report: &Report) {
    let store = &report.store;
    text.title("Store");
    text.fact("folder", &store.path);
    if let Some(free) = store.bytes_free {
        text.fact("free on disk", human::bytes(free));
    }
    if !store.exists {
        text.fact("", "not there yet; the first model makes it");
        return;
    }
    text.fact("models", store.models.to_string());
    let bytes = human::bytes(store.bytes);
    text.fact("blobs", format!("{}, {bytes}", store.blobs));
    if let Some(verified) = store.verified {
        text.fact("verified", format!("{verified} blobs were read"));
    }
    text.fact("broken", store.broken.len().to_string());
    let unused = human::bytes(store.unused_bytes);
    text.fact("unused blobs", format!("{}, {unused}", store.unused_blobs));
    let partial = store.partial_downloads.iter().map(|partial| {
        let total = match partial.total {
            0 => "?".to_owned(),
            total => human::bytes(total),
        };
        let name: String = partial.name.chars().take(19).collect();
        format!(
            "{name} {} of {total}, by {}",
            human::bytes(partial.completed),
            partial.of
        )
    });
    match store.partial_downloads.len() {
        0 => text.fact("partial downloads", "0"),
        _ => text.facts("partial downloads", partial),
    }
}

fn server(text: &mut Text, report: &Report) {
    let server = &report.server;
    text.title("Server");
    text.fact("address", &server.address);
    let version = server.version.as_deref().unwrap_or("unknown");
    let state = match server.state {
        State::None => "nobody listens; ollama serve starts one".to_owned(),
        State::Ours => format!("this program's, version {version}"),
        State::Other => format!("another program's, version {version}"),
        State::Unknown => "something else listens there".to_owned(),
        State::NotAsked => "not asked".to_owned(),
    };
    text.fact("listens", state);
    text.facts("loaded", server.loaded.iter().cloned());
}
