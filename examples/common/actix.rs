//! What the actix-web examples share: shutdown.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::time::sleep;

use crate::common::FIRST_REQUEST;

/// Starts the shutdown of an actix-web server: it accepts no more connections, and accepted ones
/// get [`FIRST_REQUEST`] to send their request.
///
/// A paused server leaves its socket open until it stops. Meanwhile the kernel accepts further
/// connections, and resets them when the server stops. So, on Linux, this function shuts down the
/// program's own socket. It does not shut down a socket that systemd has passed, in which
/// connections wait for the next process.
pub(crate) async fn stop_accepting(handle: &ServerHandle, own: Option<std::net::TcpListener>) {
    #[cfg(target_os = "linux")]
    if let Some(own) = own {
        refuse_connections(&own).await;
    }
    handle.pause().await;
    sleep(FIRST_REQUEST).await;
}

/// Waits until actix-web has accepted the waiting connections, because shutting the socket down
/// resets them. Afterwards the kernel refuses connections. actix-web may log that it cannot accept.
#[cfg(target_os = "linux")]
async fn refuse_connections(socket: &std::net::TcpListener) {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        net::{Shutdown, shutdown},
    };

    // The wait is limited, because actix-web accepts nothing while it serves its maximum of
    // connections.
    for _ in 0..1_000 {
        if let Ok(0) = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&Timespec::default())) {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let _ = shutdown(socket, Shutdown::Read);
}
