//! A proxy in front of a Redis server. It can delay commands or answer them with errors.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

/// The treatment of a command.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Forward it.
    Pass,
    /// Forward it after this time.
    Delay(Duration),
    /// Keep it until the mode changes.
    Hold,
    /// Answer it with this line, without forwarding it.
    Answer(&'static str),
}

pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Starts a proxy for the server at this port on loopback.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let modes = modes.clone();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        connect(client, server, modes).await;
                    }
                });
            }
        });
        Self { address, mode }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Holds commands back. Waits until forwarded commands are answered, so that answers keep the
    /// order of the commands.
    pub(crate) async fn hold(&self) {
        self.set(Mode::Hold);
        sleep(Duration::from_millis(50)).await;
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn connect(client: TcpStream, server: TcpStream, mode: watch::Receiver<Mode>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (arrives, arrived) = mpsc::unbounded_channel();
    let (answers, answered) = mpsc::unbounded_channel();
    // When one side closes, the proxy closes the other one.
    tokio::select! {
        () = take_in(from_client, arrives) => {}
        () = pass_on(arrived, to_server, mode, answers.clone()) => {}
        () = pass_back(from_server, answers) => {}
        () = write(answered, to_client) => {}
    }
}

/// Reads whole commands, with their times of arrival.
async fn take_in(mut client: OwnedReadHalf, arrives: mpsc::UnboundedSender<(Instant, Vec<u8>)>) {
    let mut bytes = Vec::new();
    while let Ok(1..) = client.read_buf(&mut bytes).await {
        while let Some(len) = command_len(&bytes) {
            let rest = bytes.split_off(len);
            let _ = arrives.send((Instant::now(), std::mem::replace(&mut bytes, rest)));
        }
    }
}

async fn pass_on(
    mut arrived: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
    mut server: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    answers: mpsc::UnboundedSender<Vec<u8>>,
) {
    while let Some((at, command)) = arrived.recv().await {
        let Ok(now) = mode.wait_for(|mode| !matches!(mode, Mode::Hold)).await.map(|mode| *mode) else { return };
        if let Mode::Answer(line) = now {
            let _ = answers.send(format!("{line}\r\n").into_bytes());
            continue;
        }
        if let Mode::Delay(time) = now {
            sleep_until(at + time).await;
        }
        let _ = server.write_all(&command).await;
    }
}

async fn pass_back(mut server: OwnedReadHalf, answers: mpsc::UnboundedSender<Vec<u8>>) {
    let mut bytes = Vec::new();
    while let Ok(1..) = server.read_buf(&mut bytes).await {
        let _ = answers.send(std::mem::take(&mut bytes));
    }
}

async fn write(mut answered: mpsc::UnboundedReceiver<Vec<u8>>, mut client: OwnedWriteHalf) {
    while let Some(bytes) = answered.recv().await {
        let _ = client.write_all(&bytes).await;
    }
}

/// Returns the length of the first command, which is an array of strings with their lengths, or
/// `None` if it is incomplete.
fn command_len(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let len = bytes.get(at..)?.windows(2).position(|end| end == b"\r\n")?;
        let number: usize = std::str::from_utf8(&bytes[at + 1..at + len]).unwrap().parse().unwrap();
        Some((number, at + len + 2))
    };
    let (strings, mut at) = number(0)?;
    for _ in 0..strings {
        let (len, begin) = number(at)?;
        at = begin + len + 2;
    }
    (at <= bytes.len()).then_some(at)
}
