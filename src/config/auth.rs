//! `[auth]`: who may come, checked.

use super::checked::Checker;
use super::file::Quantity;
use crate::auth::{JwtAlgorithm, JwtSettings, Scope, Scopes};
use crate::model::{Globs, Reach};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CERTIFICATES_MAX: usize = 1000;
/// Clocks that differ by more are not told apart from tokens that are used too long.
const LEEWAY_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    anonymous: String,
    keys_file: PathBuf,
    session_length: Quantity,
    failures_max: u32,
    jwt: Jwt,
    certificates: Vec<Certificate>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Jwt {
    algorithm: String,
    secret_file: PathBuf,
    public_key_file: PathBuf,
    jwks_file: PathBuf,
    issuer: String,
    audience: String,
    leeway: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    name: String,
    scopes: Vec<String>,
    devices: Vec<String>,
}

/// Who may come; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct AuthConfig {
    pub anonymous: Anonymous,
    /// Relative ones were joined to the directory that they are relative to.
    pub keys_file: PathBuf,
    pub session_length: Duration,
    pub failures_max: u32,
    /// `None` = no JWT is taken.
    pub jwt: Option<JwtSettings>,
    /// The first that fits counts.
    pub certificates: Vec<CertificateRule>,
}

/// Who may come without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// As long as nothing is set up that could be asked for, whoever reaches a loopback address.
    Loopback,
    /// Everybody who reaches the daemon.
    Anywhere,
    /// Nobody.
    Nobody,
}

/// What the names in client certificates may.
#[derive(Debug, Clone)]
pub struct CertificateRule {
    /// Which names; `None` = all.
    pub names: Option<Globs>,
    /// What they may do.
    pub scopes: Scopes,
    /// To which devices; `None` = to that of their name.
    pub reach: Option<Reach>,
}

impl Checker<'_> {
    /// A relative `keys_file` is in `beside`.
    pub(super) fn auth(&mut self, file: &Auth, beside: &Path) -> AuthConfig {
        if file.keys_file.as_os_str().is_empty() {
            self.wrong("auth.keys_file", "must name a file, which need not exist".to_owned());
        }
        if file.certificates.len() > CERTIFICATES_MAX {
            self.wrong("auth.certificates", format!("there may be {CERTIFICATES_MAX}"));
        }
        let certificates = file.certificates.iter().enumerate();
        let certificates = certificates.filter_map(|(number, certificate)| {
            self.certificate(&format!("auth.certificates.{number}"), certificate)
        });
        AuthConfig {
            certificates: certificates.collect(),
            anonymous: self.one_of(
                "auth.anonymous",
                &file.anonymous,
                &[
                    ("loopback", Anonymous::Loopback),
                    ("anywhere", Anonymous::Anywhere),
                    ("nobody", Anonymous::Nobody),
                ],
            ),
            keys_file: beside.join(&file.keys_file),
            session_length: self.positive("auth.session_length", &file.session_length),
            failures_max: self.count("auth.failures_max", file.failures_max, 1..=1_000_000),
            jwt: self.jwt(&file.jwt),
        }
    }

    fn jwt(&mut self, file: &Jwt) -> Option<JwtSettings> {
        let algorithms = JwtAlgorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
        let algorithm = self.one_of("auth.jwt.algorithm", &file.algorithm, &algorithms);
        let leeway = self.duration("auth.jwt.leeway", &file.leeway);
        if leeway > LEEWAY_MAX {
            self.wrong("auth.jwt.leeway", "must be an hour at most".to_owned());
        }
        let settings = JwtSettings {
            algorithm,
            secret_file: given(&file.secret_file),
            public_key_file: given(&file.public_key_file),
            jwks_file: given(&file.jwks_file),
            issuer: Some(file.issuer.clone()).filter(|text| !text.is_empty()),
            audience: Some(file.audience.clone()).filter(|text| !text.is_empty()),
            leeway,
        };
        let files = [&settings.secret_file, &settings.public_key_file, &settings.jwks_file];
        let files = files.into_iter().flatten().count();
        if files == 0 {
            // Whoever says who may sign for whom means JWTs to be taken.
            if settings.issuer.is_some() || settings.audience.is_some() {
                let problem = "needs the key: secret_file, public_key_file or jwks_file";
                self.wrong("auth.jwt", problem.to_owned());
            }
            return None;
        }
        let is_secret = algorithm == JwtAlgorithm::Hs256;
        if files > 1 {
            let problem = "takes one of secret_file, public_key_file and jwks_file";
            self.wrong("auth.jwt", problem.to_owned());
        } else if settings.secret_file.is_some() && !is_secret {
            let problem = format!("is for HS256; {} has a public_key_file", file.algorithm);
            self.wrong("auth.jwt.secret_file", problem);
        } else if settings.public_key_file.is_some() && is_secret {
            let problem = "HS256 has no public key, but a secret_file".to_owned();
            self.wrong("auth.jwt.public_key_file", problem);
        }
        Some(settings)
    }

    /// Nothing if a mistake was noted.
    fn certificate(&mut self, path: &str, file: &Certificate) -> Option<CertificateRule> {
        let before = self.mistakes();
        let mut scopes = Vec::new();
        for name in &file.scopes {
            match Scope::named(name) {
                Some(scope) => scopes.push(scope),
                None => {
                    let known = Scope::ALL.map(Scope::name).join(", ");
                    self.wrong(&format!("{path}.scopes"), format!("\"{name}\" is none of {known}"));
                }
            }
        }
        if file.scopes.is_empty() {
            self.wrong(&format!("{path}.scopes"), "says nothing that they may".to_owned());
        }
        if file.name.is_empty() {
            let problem = "must be a glob of the names that are meant, like \"gateway-*\"";
            self.wrong(&format!("{path}.name"), problem.to_owned());
        }
        let names =
            self.fitting(&format!("{path}.name"), Globs::new(std::slice::from_ref(&file.name)));
        let reach = self.fitting(&format!("{path}.devices"), Reach::new(&file.devices));
        if self.mistakes() > before {
            return None;
        }
        let reach = reach.filter(|_| !file.devices.is_empty());
        Some(CertificateRule { names: names?, scopes: scopes.into_iter().collect(), reach })
    }

    fn fitting<T>(&mut self, path: &str, globs: Result<T, globset::Error>) -> Option<T> {
        globs.map_err(|error| self.wrong(path, error.to_string())).ok()
    }
}

fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError, Sources, load};
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.toml");
        std::fs::write(&file, text).unwrap();
        load(&Sources { file: Some(file), ..Sources::default() }).map(|(config, _)| config)
    }

    #[test]
    fn without_a_word_loopback_is_open_and_nothing_else_taken() {
        let auth = load(&Sources::default()).unwrap().0.auth;
        assert_eq!(auth.anonymous, Anonymous::Loopback);
        assert_eq!(auth.jwt, None);
        assert!(auth.certificates.is_empty());
        assert_eq!(auth.keys_file, Path::new("/var/lib/tidegate/keys.toml"));
    }

    #[test]
    fn keys_are_beside_the_file_or_where_it_says() {
        let name = |text: &str| {
            let keys = read(text).unwrap().auth.keys_file;
            assert!(keys.is_absolute());
            (keys.starts_with(std::env::temp_dir()), keys.file_name().unwrap().to_owned())
        };
        assert_eq!(name(""), (true, "keys.toml".into()));
        assert_eq!(name("auth.keys_file = \"who.toml\""), (true, "who.toml".into()));
        assert_eq!(name("auth.keys_file = \"/srv/keys\""), (false, "keys".into()));
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let error = read(
            "[auth]\nanonymous = \"everybody\"\nkeys_file = \"\"\nfailures_max = 0\n\
             session_length = \"0 s\"\n[auth.jwt]\nalgorithm = \"none\"\nleeway = \"2 h\"\n\
             issuer = \"plant\"\n[[auth.certificates]]\nscopes = [\"root\"]\ndevices = [\"[\"]\n",
        );
        let mistakes = error.unwrap_err().0;
        let paths: Vec<_> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
        for path in [
            "auth.anonymous",
            "auth.keys_file",
            "auth.failures_max",
            "auth.session_length",
            "auth.jwt.algorithm",
            "auth.jwt.leeway",
            "auth.jwt",
            "auth.certificates.0.scopes",
            "auth.certificates.0.name",
            "auth.certificates.0.devices",
        ] {
            assert!(paths.contains(&path), "{path}: {mistakes:#?}");
        }
        assert_eq!(paths.len(), 10, "{mistakes:#?}");
    }

    #[test]
    fn a_jwt_is_checked_by_one_key_that_fits_its_algorithm() {
        for (settings, is_good) in [
            ("secret_file = \"/s\"", true),
            ("public_key_file = \"/p\"", false),
            ("algorithm = \"EdDSA\"\npublic_key_file = \"/p\"", true),
            ("algorithm = \"ES256\"\nsecret_file = \"/s\"", false),
            ("algorithm = \"RS256\"\njwks_file = \"/j\"", true),
            ("jwks_file = \"/j\"\nsecret_file = \"/s\"", false),
            ("audience = \"tidegate\"", false),
        ] {
            let read = read(&format!("[auth.jwt]\n{settings}\n"));
            assert_eq!(read.is_ok(), is_good, "{settings}: {read:?}");
        }
        let jwt = read("[auth.jwt]\nsecret_file = \"/s\"\naudience = \"a\"").unwrap().auth.jwt;
        let jwt = jwt.unwrap();
        assert_eq!((jwt.algorithm, jwt.issuer.as_deref()), (JwtAlgorithm::Hs256, None));
        assert_eq!((jwt.audience.as_deref(), jwt.leeway), (Some("a"), Duration::from_secs(60)));
    }

    #[test]
    fn certificates_have_their_scopes_and_by_default_their_own_name() {
        let auth = read(
            "[[auth.certificates]]\nname = \"gateway-*\"\nscopes = [\"ingest\", \"view\"]\n\
             devices = [\"pump-*\"]\n[[auth.certificates]]\nname = \"*\"\n",
        );
        let rules = auth.unwrap().auth.certificates;
        assert!(rules[0].names.as_ref().unwrap().is_match("gateway-7"));
        assert!(!rules[0].names.as_ref().unwrap().is_match("pump-7"));
        assert!(rules[0].scopes.has(Scope::View) && !rules[0].scopes.has(Scope::Command));
        assert!(rules[0].reach.as_ref().unwrap().allows("pump-1"));
        assert!(rules[1].names.is_none() && rules[1].reach.is_none());
        assert_eq!(rules[1].scopes.in_force().collect::<Vec<_>>(), [Scope::Ingest]);
    }
}
