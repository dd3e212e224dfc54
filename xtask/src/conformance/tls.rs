//! Encrypted registries and servers: certificates of the user's own authority, and redirects that would leave
//! encryption.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{Context, Problem, Running, tool};

/// Answers everything with 404, or with a redirect to plain HTTP, or as a server without models.
const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/behind/a/proxy/api/ps":
            body = b'{"models": []}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
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
    let run = |arguments: &[&str], host: Option<&str>, file: Option<&str>| {
        let mut command = context.ollama("home", arguments);
        command
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR")
            .env("NO_PROXY", "localhost");
        command.envs(host.map(|host| ("OLLAMA_HOST", host)));
        command.envs(file.map(|file| ("SSL_CERT_FILE", context.work.join(file))));
        let output = command.output().map_err(|e| e.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        Ok::<_, String>(String::from_utf8_lossy(&said).into_owned())
    };
    let said = |model: &str, file| {
        let model = format!("localhost:{port}/library/{model}");
        run(&["pull", &model], None, file)
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
    let server = format!("https://localhost:{port}/behind/a/proxy");
    let listed = run(&["ps"], Some(&server), Some("ca.pem"))?;
    if !listed.contains("NAME") {
        return Err(Problem::Failed(format!("ps by https: {listed}")));
    }
    let distrusted = run(&["ps"], Some(&server), None)?;
    if !distrusted.contains("certificate") {
        return Err(Problem::Failed(format!(
            "ps by https, with an unknown authority: {distrusted}"
        )));
    }
    let other = server.replace("localhost", "127.0.0.1");
    let other = run(&["ps"], Some(&other), Some("ca.pem"))?;
    if !other.contains("certificate") {
        return Err(Problem::Failed(format!(
            "ps by https, with a certificate for another name: {other}"
        )));
    }
    Ok(())
}
