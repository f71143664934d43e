//! Who may connect to a listener, and what each may publish.
//!
//! A device shows who it is by a certificate, or by a user name and a password; its user name is then what permissions,
//! sessions and messages know it by. Without either kind of proof nobody is asked, user names are not looked at, and
//! whoever reaches the port may publish: `app` allows that on loopback addresses only, unless told otherwise.

mod accounts;
mod acl;
mod file;
mod guesses;
mod hash;
mod password_file;
mod pattern;
mod permissions;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::accounts::{Account, Accounts};
use self::pattern::Pattern;
use self::permissions::Permissions;
use super::greeting::{Greeting, Refusal};

pub(crate) use self::accounts::AccountsError;
pub(crate) use self::file::FileError;
pub(crate) use self::hash::{ITERATIONS_MAX, PasswordHash};
pub(crate) use self::password_file::{has_entry, user_problem, with_entry};
pub(super) use self::pattern::Publisher;

/// Who is to be let in, and to what.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessSettings {
    /// Users and their passwords.
    pub(crate) password_file: Option<PathBuf>,
    /// Whether clients without a user name are let in although there are passwords.
    pub(crate) anonymous: bool,
    /// Whether clients show certificates, whose subjects are their users.
    pub(crate) certificates: bool,
    /// Topics that may be published to; `{username}` and `{clientId}` stand for whoever publishes.
    pub(crate) topics: Option<Vec<String>>,
    /// More of them, in the format of Mosquitto.
    pub(crate) acl_file: Option<PathBuf>,
}

/// Who is let in, and to what.
#[derive(Debug)]
pub(crate) struct Access {
    proof: Proof,
    permissions: Permissions,
}

/// How clients show who they are.
#[derive(Debug)]
enum Proof {
    /// Not at all.
    None,
    Passwords {
        accounts: Box<Accounts>,
        anonymous: bool,
    },
    Certificates,
}

/// Why there is no access to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The accounts.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The ACL file.
    #[error(transparent)]
    Acl(#[from] FileError),
    /// A pattern.
    #[error("a pattern of `topics` {0}")]
    Topic(String),
}

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    /// `None` if it has not shown who it is.
    pub(super) name: Option<Arc<str>>,
    account: Option<Arc<Account>>,
}

impl Access {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// When a file cannot be read, and every line of it that is wrong.
    pub(crate) fn open(settings: &AccessSettings) -> Result<Self, AccessError> {
        let topics = settings.topics.iter().flatten().map(|text| Pattern::of_configuration(text));
        let topics: Vec<Pattern> = topics.collect::<Result<_, _>>().map_err(AccessError::Topic)?;
        let proof = match &settings.password_file {
            _ if settings.certificates => Proof::Certificates,
            Some(file) => Proof::Passwords { accounts: Box::new(Accounts::open(file)?), anonymous: settings.anonymous },
            None => Proof::None,
        };
        let topics = settings.topics.is_some().then_some(topics.as_slice());
        let have_names = !matches!(proof, Proof::None);
        Ok(Self { permissions: Permissions::open(topics, settings.acl_file.as_deref(), have_names)?, proof })
    }

    /// Who a client is.
    ///
    /// # Errors
    /// When it does not show that.
    pub(super) async fn user(
        &self,
        address: IpAddr,
        certified: Option<&Arc<str>>,
        greeting: &Greeting,
    ) -> Result<User, Refusal> {
        match (&self.proof, greeting.username.as_deref()) {
            (Proof::None, _) => Ok(User::default()),
            (Proof::Certificates, _) => {
                let name = certified.ok_or(Refusal::NotAuthorized)?;
                Ok(User { name: Some(Arc::clone(name)), account: None })
            }
            (Proof::Passwords { anonymous: true, .. }, None) => Ok(User::default()),
            (Proof::Passwords { .. }, None) => Err(Refusal::NotAuthorized),
            (Proof::Passwords { accounts, .. }, Some(name)) => {
                let account = accounts.account(address, name, greeting.password.bytes()).await?;
                Ok(User { name: Some(Arc::from(name)), account: Some(account) })
            }
        }
    }

    /// Whether `publisher` may publish to this topic.
    pub(super) fn allows(&self, topic: &str, publisher: Publisher<'_>) -> bool {
        self.permissions.allow(topic, publisher)
    }

    /// Reads the files anew that have changed. A file with mistakes is told of, and all stays as it was.
    pub(super) fn look(&self, connector: &str) {
        let accounts = match &self.proof {
            Proof::Passwords { accounts, .. } => accounts.look(),
            Proof::None | Proof::Certificates => None,
        };
        for (file, looked) in [("password_file", accounts), ("acl_file", self.permissions.look())] {
            match looked {
                None => {}
                Some(Ok(())) => tracing::info!(connector, file, "file of the MQTT listener read anew"),
                Some(Err(error)) => tracing::error!(
                    connector,
                    file,
                    problems = crate::telemetry::chain(&error),
                    "file of the MQTT listener refused, what it said before stays in force"
                ),
            }
        }
    }
}

impl User {
    /// Told when the user may no longer be connected.
    pub(super) fn revoked(&self) -> CancellationToken {
        self.account.as_ref().map(|account| account.revoked.clone()).unwrap_or_default()
    }
}
