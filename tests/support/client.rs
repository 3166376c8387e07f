//! A plain HTTP/1 client over one connection that is kept alive.

use std::{error::Error, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

type BoxError = Box<dyn Error + Send + Sync>;

/// Far beyond what Twenty itself would wait.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, BoxError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Posts, and returns the status.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: Vec<(String, String)>,
        body: impl Into<Bytes>,
    ) -> Result<u16, BoxError> {
        let mut request =
            Request::post(path).header("host", self.address.to_string()).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Ok(self.exchange(request.body(Full::new(body.into()))?).await?.0)
    }

    /// Gets, and returns the body.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, BoxError> {
        let request = Request::get(path).header("host", self.address.to_string()).body(Full::default())?;
        Ok(self.exchange(request).await?.1)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), BoxError> {
        timeout(PATIENCE, async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status().as_u16();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        })
        .await?
    }
}
