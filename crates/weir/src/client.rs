//! Asks the admin API of a running gateway.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::admin::Token;
use crate::cli::ClientArgs;
use crate::run::runtime;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const MOST: usize = 512 * 1024 * 1024;

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Client {
    admin: String,
    token: Option<Token>,
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What was asked for.
    Body(String),
    /// The gateway said no, and why.
    Refused(String),
}

impl Client {
    pub(crate) fn new(args: ClientArgs) -> Result<Self> {
        let ClientArgs {
            admin,
            admin_token_file,
        } = args;
        let token = admin_token_file.map(|it| Token::read(&it)).transpose()?;
        Ok(Self { admin, token })
    }

    /// Reads a page.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// Gives an order.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(Method::POST, path, Bytes::from(body.to_string()))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let asking = async {
            // The clock is that of the runtime.
            tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await
        };
        let (status, body) = runtime()?
            .block_on(asking)
            .with_context(|| format!("no answer within {PATIENCE:?}"))
            .and_then(|it| it)
            .with_context(|| {
                format!(
                    "cannot ask the admin API on {}; --admin says where the gateway has it",
                    self.admin
                )
            })?;
        match status {
            StatusCode::OK => Ok(Answer::Body(body)),
            StatusCode::UNAUTHORIZED => bail!(
                "the admin API on {} asks for its token; give it with --admin-token-file FILE",
                self.admin
            ),
            StatusCode::NOT_FOUND => bail!(
                "there is no {path} on {}; it may not be the admin API, or be that of another version",
                self.admin
            ),
            _ => Ok(Answer::Refused(body.trim_end().to_owned())),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, String)> {
        let stream = TcpStream::connect(&self.admin).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.admin)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.authorization());
        }
        let request = request.body(Full::new(body))?;
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            Ok((head.status, text))
        };
        // The connection is driven until the answer is there; how it ends does not matter then.
        tokio::pin!(connection, answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    }
}
