//! TLS on the listener: the certificate of now, and which clients are taken by theirs.
//!
//! The files are looked at once a second, and may be others after a reload. What they say holds for new
//! connections at once; of open ones those end whose own certificate is no longer good, and those that
//! showed none where from now on one is asked of everybody. They are told first ([`Secured::ended`]), and
//! severed soon after.

use super::certificate;
use super::own_too::OwnToo;
use super::severable::Severable;
use crate::clock;
use crate::config::{ClientCertificates, TlsConfig, TlsVersion};
use crate::metrics::Metrics;
use crate::model::Timestamp;
use crate::watched::Watched;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime,
};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, crypto, version};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A certificate that expires within this is spoken of, once a day.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);
const SAY_INTERVAL: Duration = Duration::from_secs(86_400);
/// How long an open connection goes on at most before its certificate is looked at again.
const RECHECK_MAX: Duration = Duration::from_secs(3600);

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The files of `[tls]` can't be used; the administrator acts.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One can't be read, or has nothing of its kind in it.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// There is none in it.
    #[error("{0}: there is no certificate in it")]
    Empty(PathBuf),
    /// Certificate and key are not good, or not of each other.
    #[error("{path}: {source}")]
    Unfit {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// No client could be verified by these.
    #[error("{path}: {source}")]
    Clients {
        /// The authorities.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// TLS as it is set up, with what its files said last.
#[derive(Debug)]
pub struct Tls {
    current: watch::Sender<Arc<Current>>,
    looked: Mutex<Looked>,
    /// Above connections of which no certificate was asked, or none was shown.
    bare: Mutex<CancellationToken>,
}

/// `[tls]` with what its files say: to begin with, or to go over to.
#[derive(Debug)]
pub struct TlsChange {
    config: TlsConfig,
    files: Watched,
    current: Current,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    clients: Option<Arc<OwnToo>>,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct Looked {
    config: TlsConfig,
    files: Watched,
    said_at: Option<Instant>,
}

/// A connection after its handshake.
pub(super) struct Secured {
    pub stream: Severable<TlsStream<TcpStream>>,
    pub is_http2: bool,
    /// The name in the client's certificate.
    pub certificate: Option<Arc<str>>,
    /// Cancelled when it may not go on.
    pub ended: CancellationToken,
}

impl TlsChange {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], if no connection could be taken with them.
    pub fn read(config: &TlsConfig) -> Result<TlsChange, TlsError> {
        // Stamped before they are read: what changes meanwhile is seen.
        let clients = config.clients.iter();
        let of_clients =
            clients.flat_map(|clients| [Some(clients.ca_file.clone()), clients.crl_file.clone()]);
        let files = [config.certificate_file.clone(), config.key_file.clone()];
        let files = Watched::new(files.into_iter().chain(of_clients.flatten()));
        Ok(TlsChange { config: config.clone(), files, current: Current::read(config)? })
    }

    /// Whether clients are asked for certificates.
    #[must_use]
    pub fn asks_clients(&self) -> bool {
        self.config.clients.is_some()
    }
}

impl Tls {
    /// Begins so.
    #[must_use]
    pub fn new(first: TlsChange) -> Tls {
        let TlsChange { config, files, current } = first;
        let looked = Looked { config, files, said_at: None };
        let current = watch::Sender::new(Arc::new(current));
        Tls { current, looked: Mutex::new(looked), bare: Mutex::default() }
    }

    /// Goes over to this. Connections that showed a certificate are looked at anew, but while none is
    /// asked for; those that showed none end if they could not be made any more.
    pub fn change(&self, change: TlsChange) {
        let TlsChange { config, files, current } = change;
        let mut looked = self.looked();
        let before = std::mem::replace(&mut *looked, Looked { config, files, said_at: None });
        self.current.send_replace(Arc::new(current));
        if requires(&looked.config) && !requires(&before.config) {
            // Whose handshake is under way is among those above whom it was.
            let bare = std::mem::take(&mut *self.bare());
            bare.cancel();
        }
    }

    /// When the certificate expires.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.current.borrow().expires_at
    }

    /// Looks at the files once a second until `stop`.
    pub(super) async fn watch(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            metrics.listener.certificate_expires(self.expires_at());
            tokio::select! {
                _ = interval.tick() => {}
                () = stop.cancelled() => return,
            }
            // A file system may hang; connections go on meanwhile.
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            if let Err(error) = looked {
                log::error!(error:% = error; "the files of [tls] could not be looked at");
            }
        }
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bare(&self) -> MutexGuard<'_, CancellationToken> {
        self.bare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) {
        let mut looked = self.looked();
        if looked.files.changed() {
            self.read_again(&looked.config);
            looked.said_at = None;
        }
        self.say_if_it_expires(&mut looked);
    }

    fn read_again(&self, config: &TlsConfig) {
        let path = config.certificate_file.display();
        match Current::read(config) {
            Ok(current) => {
                log::info!(event = "certificate-loaded", path:% = path, expires:% = written(current.expires_at); "new connections get the new certificate");
                self.current.send_replace(Arc::new(current));
            }
            Err(error) => {
                log::error!(event = "certificate-refused", path:% = path, error:err = error; "the files of [tls] can't be used; what was read before stays in force");
            }
        }
    }

    fn say_if_it_expires(&self, looked: &mut Looked) {
        let (now, expires_at) = (clock::monotonic(), self.expires_at());
        let left = expires_at.0.saturating_sub(clock::now().0);
        if left > EXPIRES_SOON.as_nanos() as i64
            || looked.said_at.is_some_and(|at| now - at < SAY_INTERVAL)
        {
            return;
        }
        looked.said_at = Some(now);
        let path = looked.config.certificate_file.display();
        if left > 0 {
            let days = left / 86_400_000_000_000;
            log::warn!(event = "certificate-expires", path:% = path, expires:% = written(expires_at), days = days; "the certificate of [tls] expires soon");
        } else {
            log::error!(event = "certificate-expires", path:% = path, expires:% = written(expires_at); "the certificate of [tls] has expired: clients refuse it");
        }
    }

    /// Shakes hands. What follows a client's certificate after it is a task of `tasks`.
    pub(super) async fn accept(
        self: &Arc<Self>,
        socket: TcpStream,
        tasks: &TaskTracker,
    ) -> io::Result<Secured> {
        // In this order: if certificates are asked of everybody in between, one is here, or it ends.
        let bare = self.bare().child_token();
        let server = self.current.borrow().server.clone();
        let stream = TlsAcceptor::from(server).accept(socket).await?;
        let (_, session) = stream.get_ref();
        let is_http2 = session.alpn_protocol() == Some(HTTP2);
        let chain = session.peer_certificates().map(<[CertificateDer<'static>]>::to_vec);
        let Some(chain) = chain.filter(|chain| !chain.is_empty()) else {
            let stream = Severable::new(stream, bare.clone());
            return Ok(Secured { stream, is_http2, certificate: None, ended: bare });
        };
        let certificate = match self.current.borrow().is_own(&chain[0]) {
            true => None,
            false => certificate::name(&chain[0]),
        };
        let (ended, gone) = (CancellationToken::new(), CancellationToken::new());
        let stream = Severable::new(stream, ended.clone()).telling(gone.clone());
        tasks.spawn(self.clone().end_in_time(chain, ended.clone(), gone));
        Ok(Secured { stream, is_http2, certificate, ended })
    }

    /// Ends the connection when the client's certificate is no longer good.
    async fn end_in_time(
        self: Arc<Self>,
        chain: Vec<CertificateDer<'static>>,
        ended: CancellationToken,
        gone: CancellationToken,
    ) {
        let mut current = self.current.subscribe();
        let expires_at = certificate::expires_at(&chain[0]).unwrap_or(Timestamp(0));
        loop {
            if !current.borrow_and_update().takes(&chain) {
                let name = certificate::name(&chain[0]);
                log::info!(client = name.as_deref().unwrap_or_default(); "a client's certificate is no longer good: its connection ends");
                return ended.cancel();
            }
            let left = u64::try_from(expires_at.0 - clock::now().0)
                .map_or(Duration::ZERO, Duration::from_nanos);
            tokio::select! {
                () = gone.cancelled() => return,
                // It fails when we are dropped, which we hold.
                _ = current.changed() => {}
                () = tokio::time::sleep(left.clamp(LOOK_INTERVAL, RECHECK_MAX)) => {}
            }
        }
    }
}

fn requires(config: &TlsConfig) -> bool {
    config.clients.as_ref().is_some_and(|clients| clients.required)
}

/// For people.
fn written(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}

impl Current {
    fn read(config: &TlsConfig) -> Result<Current, TlsError> {
        let chain = certificates(&config.certificate_file)?;
        let key = PrivateKeyDer::from_pem_file(&config.key_file)
            .map_err(|source| TlsError::File { path: config.key_file.clone(), source })?;
        let unfit = |source| TlsError::Unfit { path: config.certificate_file.clone(), source };
        let provider = Arc::new(crypto::ring::default_provider());
        let versions: &[_] = match config.version_min {
            TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).map_err(unfit)?;
        let clients = config.clients.as_ref();
        let clients = clients.map(|clients| verifier(clients, &chain[0], provider)).transpose()?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        };
        let expires_at = certificate::expires_at(&chain[0]).unwrap_or(Timestamp(i64::MAX));
        let mut server = builder.with_single_cert(chain, key).map_err(unfit)?;
        server.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        if clients.is_some() {
            // Who resumes a session is not asked for the certificate again, which may be revoked by then.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        Ok(Current { server: Arc::new(server), clients, expires_at })
    }

    /// Whether a client's certificate is our own: the command line's of this machine, whose name is ours.
    fn is_own(&self, certificate: &CertificateDer<'_>) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.own == *certificate)
    }

    /// Whether a client's certificate is good now; while none is asked for it does not matter.
    fn takes(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some(clients) = &self.clients else { return true };
        let now = Duration::from_nanos(u64::try_from(clock::now().0).unwrap_or(0));
        let now = UnixTime::since_unix_epoch(now);
        clients.verify_client_cert(&chain[0], &chain[1..], now).is_ok()
    }
}

fn verifier(
    config: &ClientCertificates,
    own: &CertificateDer<'static>,
    provider: Arc<crypto::CryptoProvider>,
) -> Result<Arc<OwnToo>, TlsError> {
    let path = || config.ca_file.clone();
    let mut roots = RootCertStore::empty();
    for authority in certificates(&config.ca_file)? {
        let added = roots.add(authority);
        added.map_err(|source| TlsError::Unfit { path: path(), source })?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(file) = &config.crl_file {
        let wrong = |source| TlsError::File { path: file.clone(), source };
        let lists = CertificateRevocationListDer::pem_file_iter(file).map_err(wrong)?;
        let lists = lists.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        if lists.is_empty() {
            return Err(TlsError::Empty(file.clone()));
        }
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !config.required {
        builder = builder.allow_unauthenticated();
    }
    let clients = builder.build();
    let clients = clients.map_err(|source| TlsError::Clients { path: path(), source })?;
    Ok(Arc::new(OwnToo { own: own.clone(), clients }))
}

/// At least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::File { path: file.to_owned(), source };
    let all = CertificateDer::pem_file_iter(file).map_err(wrong)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if all.is_empty() { Err(TlsError::Empty(file.to_owned())) } else { Ok(all) }
}
