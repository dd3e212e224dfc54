//! Encrypted registries: certificates of the user's own authority, and redirects that would leave encryption.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{Context, Problem, Running, tool};

/// Answers everything with 404, or with a redirect to plain HTTP.
const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "redirect" in self.path:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/")
        else:
            self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

pub(super) fn check(context: &Context) -> Result<(), Problem> {
    let python = tool(&["python3"], "python3")?;
    let openssl = tool(&["openssl"], "openssl")?;
    let extension = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";
    fs::write(context.work.join("leaf.ext"), extension).map_err(|e| e.to_string())?;
    for args in [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout leaf.key -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem",
    ] {
        let mut command = Command::new(&openssl);
        command.current_dir(&context.work).args(args.split(' '));
        let output = command.output().map_err(|e| format!("openssl: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Problem::Failed(format!("openssl {args}: {said}")));
        }
    }
    let mut server = Command::new(python)
        .current_dir(&context.work)
        .args(["-c", SERVER, "leaf.pem", "leaf.key"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("python3: {e}"))?;
    let out = server.stdout.take();
    let _running = Running(server);
    let mut port = String::new();
    if let Some(out) = out {
        BufReader::new(out)
            .read_line(&mut port)
            .map_err(|e| e.to_string())?;
    }
    let port = port.trim();
    let said = |model: &str, file: Option<&str>| {
        let mut command = context.ollama(
            "home",
            &["pull", &format!("localhost:{port}/library/{model}")],
        );
        command
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR")
            .env("NO_PROXY", "localhost");
        command.envs(file.map(|file| ("SSL_CERT_FILE", context.work.join(file))));
        let output = command.output().map_err(|e| e.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let trusted = said("m", Some("ca.pem"))?;
    if !trusted.contains("file does not exist") {
        return Err(Problem::Failed(format!("with SSL_CERT_FILE: {trusted}")));
    }
    let unknown = said("m", None)?;
    if !unknown.contains("certificate") {
        return Err(Problem::Failed(format!(
            "with an unknown authority: {unknown}"
        )));
    }
    let left = said("redirect", Some("ca.pem"))?;
    if !left.contains("without encryption") {
        return Err(Problem::Failed(format!("redirected to plain HTTP: {left}")));
    }
    Ok(())
}
