//! The way to a daemon: TCP, and TLS if it speaks that.

use crate::config::Config;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_util::either::Either;

/// TCP or TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A PROXY header that says that it is nobody else: where the daemon wants one of its own machine.
const LOCAL_HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// How a daemon is come to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Way {
    tls: Option<Trust>,
    has_header: bool,
}

/// Which certificates are good.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trust {
    /// Those for its name, of the authorities that this machine trusts.
    Authorities,
    /// The one in this file, and no other, whatever its names: it is this machine's own.
    Exactly(PathBuf),
    /// The same, where clients show certificates: we show it, too, with its key.
    Mutually { certificate: PathBuf, key: PathBuf },
}

impl Way {
    /// To somebody's https address.
    pub fn secured() -> Way {
        Way { tls: Some(Trust::Authorities), has_header: false }
    }

    /// To the daemon of this machine, at this address.
    pub fn local(config: &Config, ip: IpAddr) -> Way {
        let tls = config.tls.as_ref().map(|tls| match tls.clients {
            None => Trust::Exactly(tls.certificate_file.clone()),
            Some(_) => Trust::Mutually {
                certificate: tls.certificate_file.clone(),
                key: tls.key_file.clone(),
            },
        });
        Way { tls, has_header: config.proxy.has_header && config.proxy.is_trusted(ip) }
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Goes there: to `host:port`.
    pub async fn go(&self, authority: &str) -> io::Result<Stream> {
        let mut socket = TcpStream::connect(authority).await?;
        if self.has_header {
            socket.write_all(LOCAL_HEADER).await?;
        }
        let Some(trust) = &self.tls else { return Ok(Either::Left(socket)) };
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(trust.config()?)).connect(name, socket).await?;
        Ok(Either::Right(Box::new(stream)))
    }
}

impl Trust {
    fn config(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let config = match self {
            Trust::Authorities => {
                let mut roots = RootCertStore::empty();
                // One that can't be read is none that signed the daemon.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                builder.with_root_certificates(roots)
            }
            Trust::Exactly(file) | Trust::Mutually { certificate: file, .. } => {
                let only = Arc::new(Only { certificate: read(file)?, provider });
                builder.dangerous().with_custom_certificate_verifier(only)
            }
        };
        let Trust::Mutually { certificate, key } = self else {
            return Ok(config.with_no_client_auth());
        };
        // Who may not read the key shows no certificate, which is enough where none is required.
        match PrivateKeyDer::from_pem_file(key) {
            Ok(key) => config.with_client_auth_cert(vec![read(certificate)?], key),
            Err(_) => Ok(config.with_no_client_auth()),
        }
        .map_err(io::Error::other)
    }
}

/// The first of a file.
fn read(file: &Path) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(file)
        .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}

/// Takes one certificate, from who has its key.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
