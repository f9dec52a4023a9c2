//! The bytes of a connection: TCP, TLS if wanted.

use super::trim::{Mark, Trim};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Where a broker is.
#[derive(Debug, Clone)]
pub(in super::super) struct Target {
    pub host: String,
    pub port: u16,
    /// `None` = without TLS.
    pub tls: Option<TlsFiles>,
}

/// The files of a connection with TLS. They are read for each connection: new ones work at the next.
#[derive(Debug, Clone)]
pub(in super::super) struct TlsFiles {
    /// Authorities that sign brokers; `None` = those of the machine.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// TCP or TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}

/// A connection on which no message is larger than it may be.
pub(super) type Stream = Trim<Box<dyn Duplex>>;

/// Connects.
pub(super) async fn connect(
    target: &Target,
    version: u8,
    payload_bytes_max: usize,
    mark: Mark,
) -> io::Result<Stream> {
    let plain = TcpStream::connect((target.host.as_str(), target.port)).await?;
    plain.set_nodelay(true)?;
    let stream: Box<dyn Duplex> = match &target.tls {
        None => Box::new(plain),
        Some(files) => {
            let name = ServerName::try_from(target.host.clone())
                .map_err(|_| other(format!("TLS: \"{}\" is no name of a server", target.host)))?;
            let connector = TlsConnector::from(Arc::new(files.read()?));
            let stream = connector.connect(name, plain).await;
            Box::new(stream.map_err(|error| other(format!("TLS: {error}")))?)
        }
    };
    Ok(Trim::new(stream, version, payload_bytes_max, mark))
}

fn other(message: String) -> io::Error {
    io::Error::other(message)
}

impl TlsFiles {
    fn read(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| other(format!("TLS: {error}")))?
            .with_root_certificates(self.roots()?);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| other(format!("{}: {error}", key.display())))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| other(format!("{}: {error}", certificate.display())))
            }
        }
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(file) => {
                for authority in certificates(file)? {
                    let added = roots.add(authority);
                    added.map_err(|error| other(format!("{}: {error}", file.display())))?;
                }
            }
            // One that can't be read is none that signed the broker.
            None => drop(
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            ),
        }
        if roots.is_empty() {
            return Err(other(
                "TLS: no certificate authority is known (ca_file, or ca-certificates on this machine)"
                    .to_owned(),
            ));
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let wrong = |error| other(format!("{}: {error}", file.display()));
    CertificateDer::pem_file_iter(file).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}
