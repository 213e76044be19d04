//! Rotation of keys under load: append, move first, drop. The environment of a process does not
//! change, so each stage is a hot restart, in which the processes of two stages serve together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::setup::{Edge, PATIENCE, assignment_of, served_by};
use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::Http1;
use divvy_lab::envoy::HotRestart;
use divvy_lab::eventually;
use tokio::sync::{Mutex, RwLock, RwLockWriteGuard};
use tokio::task::JoinHandle;

use super::{IDENTITY, NEW, OLD, STICKY, checked, id, place, with_keys};

/// Time in seconds for which the processes of two stages live.
const TOGETHER: u32 = 12;
/// Clients, each with two connections and its own visitors.
const CLIENTS: usize = 4;
/// Visitors of a client before the first stage. Others come later, until there are four times as many.
const VISITORS: usize = 16;

/// A browser: its cookies, and the version that answered first.
#[derive(Clone, Debug, Default)]
struct Visitor {
    cookies: BTreeMap<String, String>,
    version: String,
    visits: u64,
}

impl Visitor {
    /// Sends a request and takes the cookies of its response. Returns the assignment.
    async fn visit(&mut self, client: &Http1) -> Result<String> {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let headers = [("cookie", &*cookies)];
        let headers = if cookies.is_empty() {
            &[][..]
        } else {
            &headers
        };
        let answer = client.get_with("/checkout", headers).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        for line in answer.headers.get_all("set-cookie") {
            let pair = line.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').context("a cookie has a value")?;
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let version = served_by(&answer).context("a version")?;
        version.clone_into(&mut self.version);
        self.visits += 1;
        Ok(assignment_of(&answer).context("an assignment")?.to_owned())
    }

    /// The uuid of the minted identity, and the ids of the keys that signed both cookies.
    fn signed(&self) -> Result<(&str, [&str; 2])> {
        let cookie = |name: &str| self.cookies.get(name).with_context(|| format!("no {name}"));
        let mut identity = cookie(IDENTITY)?.split('.');
        let uuid = identity.next().unwrap_or_default();
        let of_identity = identity.next().unwrap_or_default();
        let of_version = cookie(STICKY)?.split(':').nth(1).unwrap_or_default();
        Ok((uuid, [of_identity, of_version]))
    }
}

/// Visitors who send requests without pause. Each keeps its identity and version.
struct Load {
    /// Requests hold it shared: none is in flight while it is held alone.
    turn: Arc<RwLock<()>>,
    ended: Arc<AtomicBool>,
    /// Number of requests with cookies.
    returned: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<()>>>,
    /// By client.
    visitors: Vec<Arc<Mutex<Vec<Visitor>>>>,
}

impl Load {
    fn start(addr: SocketAddr) -> Load {
        let mut load = Load {
            turn: Arc::default(),
            ended: Arc::default(),
            returned: Arc::default(),
            clients: Vec::new(),
            visitors: Vec::new(),
        };
        for _ in 0..CLIENTS {
            let (turn, ended) = (Arc::clone(&load.turn), Arc::clone(&load.ended));
            let returned = Arc::clone(&load.returned);
            let visitors = Arc::new(Mutex::new(vec![Visitor::default(); VISITORS]));
            load.visitors.push(Arc::clone(&visitors));
            load.clients.push(tokio::spawn(async move {
                // A visitor who uses both comes to both processes in turn.
                let connections = [Http1::new(addr), Http1::new(addr)];
                for request in 0.. {
                    let _turn = turn.read().await;
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let mut visitors = visitors.lock().await;
                    if request % 100 == 99 && visitors.len() < 4 * VISITORS {
                        visitors.push(Visitor::default());
                    }
                    let next = request % visitors.len();
                    let client = &connections[request / visitors.len() % 2];
                    come_back(&mut visitors[next], client, &returned).await?;
                }
                Ok(())
            }));
        }
        load
    }

    fn returned(&self) -> u64 {
        self.returned.load(Ordering::SeqCst)
    }

    /// The number of visits by client and visitor.
    async fn visits(&self) -> Vec<Vec<u64>> {
        let mut visits = Vec::new();
        for client in &self.visitors {
            let visitors = client.lock().await;
            visits.push(visitors.iter().map(|visitor| visitor.visits).collect());
        }
        visits
    }

    /// Waits until every visitor has come back, and then for the end of all requests.
    async fn pause(&self) -> Result<RwLockWriteGuard<'_, ()>> {
        let before = self.visits().await;
        eventually("every visitor to come back", PATIENCE, async || {
            let now = self.visits().await;
            let clients = now.iter().zip(&before);
            let mut visitors = clients.flat_map(|(now, before)| now.iter().zip(before));
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            (failed || visitors.all(|(now, before)| now > before)).then_some(())
        })
        .await?;
        Ok(self.turn.write().await)
    }

    /// The ids of the keys that signed the cookies of all visitors.
    async fn signed_by(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for client in &self.visitors {
            let visitors = client.lock().await;
            for visitor in visitors.iter().filter(|visitor| visitor.visits > 0) {
                ids.extend(visitor.signed()?.1.map(str::to_owned));
            }
        }
        Ok(ids)
    }

    /// Ends it and returns the visitors. An error if a request failed or a user moved.
    async fn end(self) -> Result<Vec<Visitor>> {
        self.ended.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await??;
        }
        let mut all = Vec::new();
        for client in self.visitors {
            all.append(&mut *client.lock().await);
        }
        Ok(all)
    }
}

/// A request of a visitor, who keeps what the first response said.
async fn come_back(visitor: &mut Visitor, client: &Http1, returned: &AtomicU64) -> Result<()> {
    let before = visitor.clone();
    let assignment = visitor.visit(client).await?;
    let version = &visitor.version;
    if before.visits == 0 {
        ensure!(
            assignment == format!("checkout={version};reason=split"),
            "{assignment}"
        );
        visitor.signed()?;
        return Ok(());
    }
    returned.fetch_add(1, Ordering::SeqCst);
    ensure!(
        assignment == format!("checkout={};reason=sticky", before.version)
            && *version == before.version
            && visitor.signed()?.0 == before.signed()?.0,
        "moved: {assignment}, {before:?}, {visitor:?}"
    );
    Ok(())
}

/// The process of a stage: the edge on this port with these keys.
async fn process(port: u16, keys: &str, part: HotRestart) -> Result<Edge> {
    let change = |bootstrap: Bootstrap| {
        bootstrap
            .without_access_log()?
            .with_listener_port("edge", port)
    };
    let setup = with_keys(keys)?
        .bootstrap(change)?
        .workers(2)
        .hot_restart(part);
    setup.start().await
}

/// The numbers of valid signatures, of minted identities and of sticky cookies; an error if one was not valid.
async fn valid(edge: &Edge) -> Result<[u64; 2]> {
    let metrics = edge.metrics().await?;
    let of = |result| ["mint", "sticky"].map(|purpose| checked(&metrics, purpose, result));
    let others = ["bad", "expired", "unknown_key"].map(of);
    ensure!(others == [[0; 2]; 3], "{others:?}");
    Ok(of("ok"))
}

/// Waits until exactly these signatures were counted, all of them valid.
async fn all_valid(edge: &Edge, expected: [u64; 2]) -> Result<()> {
    let same = async || (valid(edge).await.ok()? == expected).then_some(());
    let counted = eventually("the counters", PATIENCE, same).await;
    counted.with_context(|| format!("expected {expected:?}"))?;
    ensure!(valid(edge).await? == expected);
    Ok(())
}

#[tokio::test]
async fn a_rotation_under_load_moves_no_user_and_fails_no_request() -> Result<()> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let mut edge = process(port, OLD, HotRestart::First).await?;
    let base_id = edge.envoy.base_id()?;
    let client = Http1::new(edge.addr);
    let mut sleepers = vec![Visitor::default(); 20];
    for visitor in &mut sleepers {
        visitor.visit(&client).await?;
    }
    let load = Load::start(edge.addr);
    let pause = load.pause().await?;
    let mut counted = load.returned();
    all_valid(&edge, [counted; 2]).await?;
    assert_eq!(load.signed_by().await?, [id(OLD).to_owned()].into());
    drop(pause);

    let both = |first: &str, second: &str| format!("{first},{second}");
    for (epoch, keys, signs, places) in [
        (1, both(OLD, NEW), OLD, [1, 2]),
        (2, both(NEW, OLD), NEW, [2, 1]),
        (3, NEW.to_owned(), NEW, [0, 1]),
    ] {
        let part = HotRestart::Next {
            base_id,
            epoch,
            parent_shutdown: TOGETHER,
            drain: TOGETHER / 3,
        };
        let next = process(port, &keys, part).await?;
        // Envoy adds the counts of the old process since the last pause.
        let pause = load.pause().await?;
        ensure!(edge.envoy.exit().is_none(), "the old process has ended");
        all_valid(&next, [load.returned() - counted; 2]).await?;
        drop(pause);

        edge.envoy.wait_for_exit().await;
        edge = next;
        eventually("the keys of one process", PATIENCE, async || {
            let metrics = edge.metrics().await.ok()?;
            ([OLD, NEW].map(|key| place(&metrics, id(key))) == places).then_some(())
        })
        .await?;
        // The last counts of the old process are lost, of one counter perhaps more than of the other, so
        // this is about the new process alone.
        let pause = load.pause().await?;
        let (lower, since) = (valid(&edge).await?, load.returned());
        drop(pause);
        let _pause = load.pause().await?;
        counted = load.returned();
        let further = counted - since;
        all_valid(&edge, lower.map(|lower| lower + further)).await?;
        assert_eq!(
            load.signed_by().await?,
            [id(signs).to_owned()].into(),
            "{keys}"
        );
    }

    let visitors = load.end().await?;
    let on_v2 = visitors
        .iter()
        .filter(|visitor| visitor.version == "v2")
        .count();
    println!(
        "{counted} requests, {} visitors, {on_v2} of them on v2",
        visitors.len()
    );
    ensure!(
        on_v2 > 0 && on_v2 < visitors.len(),
        "{on_v2} of {}",
        visitors.len()
    );

    // Cookies of the dropped key are worth nothing.
    for visitor in &mut sleepers {
        let before = visitor.clone();
        let assignment = visitor.visit(&client).await?;
        assert_eq!(
            assignment,
            format!("checkout={};reason=split", visitor.version)
        );
        let (uuid, keys) = visitor.signed()?;
        ensure!(uuid != before.signed()?.0, "{before:?} is known");
        assert_eq!(keys, [id(NEW); 2]);
        visitor.visit(&client).await?;
    }
    let metrics = edge.metrics().await?;
    for purpose in ["mint", "sticky"] {
        let results = ["unknown_key", "bad", "expired"];
        let counts = results.map(|result| checked(&metrics, purpose, result));
        assert_eq!(counts, [sleepers.len() as u64, 0, 0], "{purpose}");
    }
    Ok(())
}
