//! `vitalwire passwd`: users and passwords of devices, in the file that `password_file` of an MQTT listener names.
//!
//! A password comes from the terminal or from standard input, never from the command line, which other users of the
//! machine can read.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tempfile::NamedTempFile;

use super::{Failure, say};
use crate::sources::mqtt_listener::access::{ITERATIONS_MAX, PasswordHash, has_entry, user_problem, with_entry};

/// Longest password, in bytes: MQTT carries no longer ones.
const PASSWORD_BYTES_MAX: u16 = u16::MAX;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Password file, in the format of mosquitto_passwd; made when it is not there
    file: PathBuf,
    /// User to add, or to give another password. The password is asked for, or read from standard input
    user: String,
    /// Remove the user
    #[arg(long)]
    delete: bool,
    /// How much work a hash is. The default is what OWASP recommends for PBKDF2 with HMAC-SHA-512. For long random passwords,
    /// which nobody can guess anyway, 1000 lets a large fleet in sooner after a restart
    #[arg(long, default_value_t = 210_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
}

/// Changes the file; a running listener takes the change up within a second.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, user, delete, .. } = arguments;
    if let Some(problem) = user_problem(user) {
        return Err(Failure::Usage(format!("the user name {problem}")));
    }
    let (text, metadata) = read(file).map_err(|error| failed("read", file, &error))?;
    let known = has_entry(&text, user);
    let hash = match (delete, known) {
        (true, false) => return Err(Failure::Other(format!("{} has no such user", file.display()))),
        (true, true) => None,
        (false, _) => Some(hash(arguments)?),
    };
    write(file, &with_entry(&text, user, hash.as_ref()), metadata.as_ref())
        .map_err(|error| failed("write", file, &error))?;
    say(match (delete, known) {
        (true, _) => "user removed",
        (false, true) => "password changed",
        (false, false) => "user added",
    });
    Ok(())
}

fn failed(what: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("cannot {what} {}: {error}", file.display()))
}

fn hash(arguments: &Arguments) -> Result<PasswordHash, Failure> {
    let password = password()?;
    let iterations = NonZeroU32::new(arguments.iterations).unwrap_or(NonZeroU32::MIN);
    PasswordHash::of(&password, iterations).map_err(|error| Failure::other(&error))
}

fn password() -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::Other(format!("cannot read the password: {error}"));
    let password = if io::stdin().is_terminal() {
        let password = ask("Password: ").map_err(failed)?;
        if ask("The same again: ").map_err(failed)? != password {
            return Err(Failure::Other("these were two different passwords; nothing was changed".to_owned()));
        }
        password
    } else {
        first_line(io::stdin()).map_err(failed)?
    };
    match password.len() {
        0 => Err(Failure::Other("the password is empty; nothing was changed".to_owned())),
        length if length > PASSWORD_BYTES_MAX.into() => {
            Err(Failure::Other(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes; MQTT carries no such")))
        }
        _ => Ok(password),
    }
}

/// Asks at the terminal, which does not show what is typed meanwhile.
fn ask(question: &str) -> io::Result<Vec<u8>> {
    let mut terminal = io::stderr();
    terminal.write_all(question.as_bytes())?;
    let unseen = Unseen::begin()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    drop(unseen);
    terminal.write_all(b"\n")?;
    Ok(answer.trim_end_matches(['\n', '\r']).as_bytes().to_vec())
}

/// While the terminal does not show what is typed.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that has gone away shows nothing anyway.
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.0).unwrap_or_default();
    }
}

fn first_line(input: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Room for the end of the line, and for one byte too many.
    input.take(u64::from(PASSWORD_BYTES_MAX) + 3).read_to_end(&mut bytes)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// What the file says, and what is known of it; nothing of one that is not there.
fn read(file: &Path) -> io::Result<(String, Option<Metadata>)> {
    match File::open(file) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok((text, Some(file.metadata()?)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((String::new(), None)),
        Err(error) => Err(error),
    }
}

/// Replaces the file as a whole, so that a listener never reads half of it. A new one is for its owner alone; otherwise
/// owner and rights stay, for the listener may run as another user.
fn write(file: &Path, text: &str, former: Option<&Metadata>) -> io::Result<()> {
    let file = if former.is_some() { file.canonicalize()? } else { file.to_owned() };
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = NamedTempFile::new_in(directory)?;
    if let Some(former) = former {
        let new = draft.as_file().metadata()?;
        if (new.uid(), new.gid()) != (former.uid(), former.gid()) {
            fchown(draft.as_file(), Some(former.uid()), Some(former.gid()))?;
        }
        draft.as_file().set_permissions(former.permissions())?;
    }
    draft.write_all(text.as_bytes())?;
    draft.as_file().sync_all()?;
    draft.persist(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn a_password_is_a_line_without_its_end() {
        for (input, expected) in [("a b\n", "a b"), ("a\r\nb", "a"), ("a", "a"), ("", ""), ("\n", "")] {
            assert_eq!(first_line(input.as_bytes()).unwrap(), expected.as_bytes(), "{input:?}");
        }
    }
}
