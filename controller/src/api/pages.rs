//! Mounts the dashboard and the portal: what they ask of the rest is answered from the office.

use std::sync::Arc;

use axum::Router;
use futures_util::FutureExt as _;
use zeroize::Zeroizing;

use super::{
    Office,
    operators::{NotSignedIn, sign_in},
};
use crate::{
    domain::Operator,
    noc::{self, Hub, Noc, Session, SignInRefusal, routes::Credentials},
    page::assets,
    policy::line_up::registered,
    portal::{self, Portal},
    store::Table,
    viewing::passwords::Typed,
};

/// The pages' routes.
pub fn routes(office: &Arc<Office>, hub: Arc<Hub>) -> Router {
    let with = || Arc::clone(office);
    let (checking, entering, leaving, showing) = (with(), with(), with(), with());
    let noc = Noc {
        hub,
        fleet: office.fleet.state.clone(),
        check: Arc::new(move |token| {
            let office = Arc::clone(&checking);
            async move { operator(&office, &token).await }.boxed()
        }),
        sign_in: Arc::new(move |typed| {
            let office = Arc::clone(&entering);
            async move { enter(&office, typed).await }.boxed()
        }),
        sign_out: Arc::new(move |token| {
            let office = Arc::clone(&leaving);
            async move {
                if let Err(error) = office.operators.end(&token, &*office.clock).await {
                    tracing::error!(error = headend_rt::chain(&error), "operator could not be signed out");
                }
            }
            .boxed()
        }),
        secure: office.secure,
    };
    let portal = Portal { origins: Arc::new(move || origins(&showing)) };
    Router::new().merge(noc::router(noc)).merge(portal::router(portal)).merge(assets::router())
}

async fn operator(office: &Office, token: &str) -> Option<noc::Operator> {
    let login = office.operators.who(token, office.now_secs())?;
    let table: Table<Operator> = Table::new(Arc::clone(&office.engine));
    let kept = table.get(&login).await.ok()??;
    kept.record.enabled.then(|| noc::Operator { login: login.to_string() })
}

async fn enter(office: &Office, typed: Credentials) -> Result<Session, SignInRefusal> {
    // A request without a peer comes from no socket of ours.
    let from = typed.peer.ok_or(SignInRefusal::Unavailable)?;
    let typed_in = Typed { login: &typed.login, password: typed.password, from };
    match sign_in(office, typed_in).await {
        Ok(token) => Ok(Session { token: Zeroizing::new(token.token), expires: token.expires }),
        Err(NotSignedIn::Wrong) => Err(SignInRefusal::Wrong),
        Err(NotSignedIn::Wait { retry_after_secs }) => {
            Err(SignInRefusal::TooMany { retry_secs: u32::try_from(retry_after_secs).unwrap_or(u32::MAX) })
        }
        Err(NotSignedIn::Busy) => Err(SignInRefusal::TooMany { retry_secs: 2 }),
        Err(NotSignedIn::Store(error)) => {
            tracing::error!(error = headend_rt::chain(&error), "operator could not be read");
            Err(SignInRefusal::Unavailable)
        }
    }
}

/// Where the portal's player may fetch from: every registered origin, and where others say they are.
fn origins(office: &Office) -> Vec<String> {
    let catalogue = office.catalogue.current();
    let state = office.fleet.state.subscribe();
    let state = state.borrow();
    let known = |key: &crate::fleet::state::NodeKey| catalogue.nodes.contains_key(&key.node);
    let said = state.nodes().filter(|(key, _)| known(key)).filter_map(|(_, node)| node.birth.as_ref());
    said.map(|birth| birth.origin_url.clone()).chain(registered(&catalogue).into_values()).collect()
}
