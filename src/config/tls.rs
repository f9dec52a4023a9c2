//! `[tls]`, checked. Whether the files are what they should be is seen when they are opened.

use super::checked::Checker;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    version_min: String,
    client_certificates: String,
    client_ca_file: PathBuf,
    client_crl_file: PathBuf,
}

/// TLS on the listener; see `config/tidegate.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our certificate, and those between it and its authority.
    pub certificate_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The oldest version that is spoken.
    pub version_min: TlsVersion,
    /// `None` = clients are not asked for certificates.
    pub clients: Option<ClientCertificates>,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
}

/// Which certificates of clients are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Those that these authorities signed.
    pub ca_file: PathBuf,
    /// And did not revoke since.
    pub crl_file: Option<PathBuf>,
    /// Whether those that show none are sent away.
    pub required: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Off,
    Optional,
    Required,
}

impl Checker<'_> {
    /// `None` = without TLS.
    pub(super) fn tls(&mut self, file: &Tls) -> Option<TlsConfig> {
        let version_min = self.one_of(
            "tls.version_min",
            &file.version_min,
            &[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)],
        );
        let asked = self.one_of(
            "tls.client_certificates",
            &file.client_certificates,
            &[("off", Asked::Off), ("optional", Asked::Optional), ("required", Asked::Required)],
        );
        let clients = self.client_certificates(file, asked);
        match (set(&file.certificate_file), set(&file.key_file)) {
            (Some(certificate_file), Some(key_file)) => {
                return Some(TlsConfig { certificate_file, key_file, version_min, clients });
            }
            (None, None) if asked == Asked::Off => {}
            (None, None) => {
                let problem = "needs tls.certificate_file and tls.key_file: clients show their certificates in TLS only";
                self.wrong("tls.client_certificates", problem.to_owned());
            }
            (Some(_), None) => {
                self.wrong(
                    "tls.key_file",
                    "is the key of tls.certificate_file, and missing".into(),
                );
            }
            (None, Some(_)) => {
                self.wrong("tls.certificate_file", "is missing; tls.key_file is not".into());
            }
        }
        None
    }

    fn client_certificates(&mut self, file: &Tls, asked: Asked) -> Option<ClientCertificates> {
        let (ca_file, crl_file) = (set(&file.client_ca_file), set(&file.client_crl_file));
        if asked == Asked::Off {
            // Who sets them wants something that would not happen.
            for (path, file) in
                [("tls.client_ca_file", &ca_file), ("tls.client_crl_file", &crl_file)]
            {
                if file.is_some() {
                    let problem = "is of no use as long as tls.client_certificates is \"off\"";
                    self.wrong(path, problem.to_owned());
                }
            }
            return None;
        }
        let Some(ca_file) = ca_file else {
            let problem = "is missing: whose certificates are taken?";
            self.wrong("tls.client_ca_file", problem.to_owned());
            return None;
        };
        Some(ClientCertificates { ca_file, crl_file, required: asked == Asked::Required })
    }
}

fn set(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[&str; 5]) -> (Option<TlsConfig>, Vec<String>) {
        let [certificate, key, asked, ca, crl] = settings.map(str::to_owned);
        let file = Tls {
            certificate_file: certificate.into(),
            key_file: key.into(),
            version_min: "1.2".into(),
            client_certificates: asked,
            client_ca_file: ca.into(),
            client_crl_file: crl.into(),
        };
        let mut mistakes = Vec::new();
        let checked = Checker { mistakes: &mut mistakes }.tls(&file);
        (checked, mistakes.into_iter().map(|mistake| mistake.path).collect())
    }

    #[test]
    fn what_belongs_together_is_there_together() {
        let none: &[&str] = &[];
        for (settings, on, mistakes) in [
            (["", "", "off", "", ""], false, none),
            (["c", "k", "off", "", ""], true, none),
            (["c", "k", "required", "ca", "crl"], true, none),
            (["c", "k", "optional", "ca", ""], true, none),
            (["c", "", "off", "", ""], false, &["tls.key_file"]),
            (["", "k", "off", "", ""], false, &["tls.certificate_file"]),
            (["c", "k", "off", "ca", ""], true, &["tls.client_ca_file"]),
            (["c", "k", "off", "", "crl"], true, &["tls.client_crl_file"]),
            (["c", "k", "required", "", ""], true, &["tls.client_ca_file"]),
            (["", "", "required", "ca", ""], false, &["tls.client_certificates"]),
            (["c", "k", "sometimes", "", ""], true, &["tls.client_certificates"]),
        ] {
            let (checked, found) = check(&settings);
            assert_eq!(
                (checked.is_some(), &found[..]),
                (on, &mistakes.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()[..]),
                "{settings:?}"
            );
        }
    }
}
