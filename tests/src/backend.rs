//! An operator's existing authorisation backend: answers a node's questions as the test says, and remembers them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinSet};

/// What it was asked: the fields of the query.
pub type Asked = BTreeMap<String, String>;

/// What it says.
#[derive(Debug, Clone, Default)]
pub struct Says {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Says this with a status.
#[must_use]
pub fn says(status: u16) -> Says {
    Says { status, ..Says::default() }
}

impl Says {
    /// And this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// And this body.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        text.clone_into(&mut self.body);
        self
    }
}

type Script = Box<dyn Fn(&Asked) -> Says + Send + Sync>;

struct Desk {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
}

/// A running backend; stops when it is dropped.
pub struct Backend {
    /// Where it is asked.
    pub url: String,
    desk: Arc<Desk>,
    _task: JoinSet<()>,
}

impl Backend {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn start(script: impl Fn(&Asked) -> Says + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/auth", listener.local_addr()?);
        let desk = Arc::new(Desk { script: Mutex::new(Box::new(script)), asked: Mutex::default() });
        let router = Router::new().route("/auth", get(answer)).with_state(Arc::clone(&desk));
        let mut task = JoinSet::new();
        task.spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url, desk, _task: task })
    }

    /// Says something else from now on.
    pub fn now_says(&self, script: impl Fn(&Asked) -> Says + Send + Sync + 'static) {
        *self.desk.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// All it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.desk.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(desk): State<Arc<Desk>>, Query(asked): Query<Asked>) -> Response {
    desk.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let says = (desk.script.lock().unwrap_or_else(PoisonError::into_inner))(&asked);
    let mut headers = HeaderMap::new();
    for (name, value) in &says.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    let status = StatusCode::from_u16(says.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, headers, says.body).into_response()
}
