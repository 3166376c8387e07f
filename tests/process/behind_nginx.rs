//! Runs examples behind nginx, with the server block of `docs/guide/deploying.md`. Without nginx,
//! the tests do nothing; the gate has it.
//!
//! To run this file alone, build the examples first: `cargo build --all-features --examples`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, task::block_in_place, time::sleep};
use twenty_webhook::verify::Signer;

use crate::support::{
    data_text,
    http1::Connection,
    process::{PATIENCE, Process, free_port},
    program::Program,
};

const SECRET: &str = "dev-secret";

/// Returns the guide's server block with another port and upstream, and without TLS, because there
/// is no certificate.
fn server_block(port: u16, upstream: SocketAddr) -> String {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/deploying.md")).unwrap();
    let block = guide.split_once("```nginx\n").unwrap().1.split_once("```").unwrap().0;
    let block: Vec<_> = block.lines().filter(|line| !line.contains("ssl_certificate")).collect();
    let block = block.join("\n");
    let server =
        block.replace("443 ssl", &format!("127.0.0.1:{port}")).replace("127.0.0.1:3000", &upstream.to_string());
    assert!(server.contains(&format!("proxy_pass http://{upstream};")) && !server.contains("ssl"), "{server}");
    server
}

fn configuration(directory: &Path, http: &str) -> String {
    let path = directory.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {path}/pid; error_log {path}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
         fastcgi_temp_path {path}/fastcgi; scgi_temp_path {path}/scgi; uwsgi_temp_path {path}/uwsgi;\n{http}\n}}\n"
    )
}

pub(crate) struct Nginx {
    _process: Process,
    pub(crate) address: SocketAddr,
    directory: PathBuf,
}

impl Nginx {
    /// Starts nginx with a block `http` that `http` returns for the port to listen on. Returns
    /// `None` if nginx is not installed.
    pub(crate) async fn start(http: impl FnOnce(u16) -> String) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("twenty-webhook-nginx-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration(&directory, &http(port))).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(&file).arg("-e").arg(directory.join("error.log")).stdin(Stdio::null());
        if !Path::new("/usr/sbin/nginx").exists() {
            return None;
        }
        let mut process = Process::start(&mut command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let log = || fs::read_to_string(directory.join("error.log")).unwrap_or_default();
            assert!(process.has_ended().is_none() && begun.elapsed() < PATIENCE, "nginx does not listen: {}", log());
            sleep(Duration::from_millis(20)).await;
        }
        Some(Self { _process: process, address, directory })
    }

    /// Returns its error log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.directory);
    }
}

/// Sends `body` with the signature of `signed`.
async fn send(address: SocketAddr, body: &str, signed: &str) -> u16 {
    let headers = Signer::new(SECRET).unwrap().sign(signed).pairs();
    Connection::open(address).await.post("/webhooks/twenty", headers, body).await.unwrap()
}

#[tokio::test]
async fn deliveries_arrive_unchanged() {
    for example in ["axum_receiver", "actix_receiver"] {
        let mut program = Program::start(example, &[], &[("TWENTY_WEBHOOK_SECRET", SECRET)]);
        let upstream = program.address();
        let Some(nginx) = Nginx::start(|port| server_block(port, upstream)).await else {
            println!("nginx is not installed");
            return;
        };
        let body = data_text("person.created.json");
        assert!(matches!(send(nginx.address, &body, &body).await, 200 | 202), "{example}");
        // The body is longer than nginx allows by default, and longer than its buffer in memory.
        let long = body.replace(r#""record":{"#, &format!(r#""record":{{"intro":"{}","#, "é".repeat(900_000)));
        assert!(long.len() > 1_800_000);
        assert!(matches!(send(nginx.address, &long, &long).await, 200 | 202), "{example}");
        assert_eq!(send(nginx.address, &long, &body).await, 401, "{example}");
        program.until("it handles both", |program| program.lines().len() == 2);
        drop(nginx);
    }
}

/// The guide's settings for two instances differ from nginx's defaults: by default, nginx uses no
/// server for 10 seconds after both have refused a connection.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_two_instances_lose_nothing() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/deploying.md")).unwrap();
    let block = guide.split("```nginx\n").nth(2).unwrap().split_once("```").unwrap().0;
    let start = |address: &str| {
        Program::start("axum_receiver", &[], &[("TWENTY_WEBHOOK_SECRET", SECRET), ("LISTEN_ADDR", address)])
    };
    let mut programs = [start("127.0.0.1:0"), start("127.0.0.1:0")];
    let addresses = programs.each_mut().map(Program::address).map(|address| address.to_string());
    let http = |port| {
        let block = block.replace("127.0.0.1:3000", &addresses[0]).replace("127.0.0.1:3001", &addresses[1]);
        assert!(addresses.iter().all(|address| block.contains(address)), "{block}");
        block.replace("server {", &format!("server {{ listen 127.0.0.1:{port};"))
    };
    let Some(nginx) = Nginx::start(http).await else {
        println!("nginx is not installed");
        return;
    };
    let body = data_text("person.created.json");
    for (program, address) in programs.iter_mut().zip(&addresses) {
        assert!(block_in_place(|| program.terminate()).success());
        // Each of the servers gets some of the deliveries.
        for _ in 0..6 {
            assert!(matches!(send(nginx.address, &body, &body).await, 200 | 202), "{}", nginx.log());
        }
        *program = start(address);
        block_in_place(|| program.address());
    }
}
