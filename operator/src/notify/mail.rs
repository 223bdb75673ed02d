//! An e-mail, and the server that takes it, as a Secret names it. Pure.

use std::{borrow::Cow, time::SystemTime};

use crds::events::EventType;
use http::Uri;
use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use serde_json::Value;
use store::deliveries::Due;

use super::words::{self, PLAIN};

/// Characters of a subject that mail programs show.
const SUBJECT: usize = 120;

/// A server for e-mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way there is kept private.
    pub security: Security,
    /// With what one signs in: name and password.
    pub credentials: Option<(String, String)>,
}

/// How the way to a server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte on.
    Tls,
    /// TLS after the first words; a server without it gets nothing.
    StartTls,
}

/// Reads `smtps://name:password@host` (465) and `smtp://…` (587, with STARTTLS).
pub fn server(url: &str) -> Result<Server, String> {
    const WRITE: &str = "the Secret's url is not a mail server: write smtps://user:password@mail.example.com, or smtp://… for STARTTLS on port 587";
    let uri: Uri = url.parse().map_err(|_| WRITE)?;
    let (security, port) = match uri.scheme_str() {
        Some("smtps") => (Security::Tls, 465),
        Some("smtp") => (Security::StartTls, 587),
        _ => return Err(WRITE.to_owned()),
    };
    let authority = uri.authority().ok_or(WRITE)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let credentials = match authority.as_str().rsplit_once('@') {
        Some((credentials, _)) => {
            let (name, password) = credentials.split_once(':').ok_or(WRITE)?;
            Some((decoded(name)?, decoded(password)?))
        }
        None => None,
    };
    Ok(Server { host, port: authority.port_u16().unwrap_or(port), security, credentials })
}

/// `%40` is what an @ in a name or password is written as in an address.
fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| "name and password in the Secret's url are not UTF-8".to_owned())
}

/// The e-mail that tells it.
pub fn message(due: &Due, from: &str, to: &[String]) -> Result<Message, String> {
    let from: Mailbox = from
        .parse()
        .map_err(|_| "the Secret's key from is not an address: write fastDeploy <deploy@example.com>")?;
    let sentence = words::sentence(due, &PLAIN);
    let mut mail = Message::builder()
        // The same for each try of the same, so that it is shown once.
        .message_id(Some(format!("<{}@{}>", due.id, from.email.domain())))
        .date(SystemTime::from(due.at))
        .from(from)
        .subject(cut(&sentence, SUBJECT))
        .header(ContentType::TEXT_PLAIN)
        .raw_header(automatic());
    for to in to {
        mail = mail.to(to.parse().map_err(|_| format!("{to} is not an address that an e-mail can go to"))?);
    }
    mail.body(body(due, &sentence)).map_err(|_| "an e-mail could not be made of this event".to_owned())
}

/// Whoever is away does not answer a program.
fn automatic() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

fn body(due: &Due, sentence: &str) -> String {
    let data = &due.data;
    let word = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let of_failure = EventType::parse(&due.event) == Some(EventType::DeploymentFailed);
    let facts = [
        ("Service", Some(format!("{}/{}", due.namespace, due.service))),
        ("Run", data["number"].as_i64().map(|number| format!("#{number} ({})", due.subject))),
        ("Why", word(&data["note"])),
        ("Asked for by", word(&data["requestedBy"]["name"])),
        ("Version", word(&data["revision"])),
        ("Reason", word(&data["failure"]["reason"]).filter(|_| of_failure)),
        ("Step", word(&data["failure"]["step"]).filter(|_| of_failure)),
        ("Server", word(&data["failure"]["host"]).filter(|_| of_failure)),
        ("Began", word(&data["startedAt"])),
        ("Ended", word(&data["finishedAt"])),
    ];
    let facts = facts.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}\n", value?)));
    format!("{sentence}\n\n{}", facts.collect::<String>())
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::tests::due, *};

    #[test]
    fn a_server_is_read_from_its_address() {
        let named = server("smtps://me%40example.com:p%25ss@mail.example.com").unwrap();
        let credentials = Some(("me@example.com".to_owned(), "p%ss".to_owned()));
        assert_eq!(
            named,
            Server { host: "mail.example.com".into(), port: 465, security: Security::Tls, credentials }
        );
        let plain = server("smtp://[fd00::1]:2525").unwrap();
        assert_eq!(
            plain,
            Server { host: "fd00::1".into(), port: 2525, security: Security::StartTls, credentials: None }
        );
        for wrong in ["", "mail.example.com", "https://a", "smtp://user@a", "smtp://a:%ff@b", "smtp:///x"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_password() {
        let error = server("smtp+tls://me:hunter2@mail.example.com").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_e_mail_says_what_happened_and_nobody_adds_a_header() {
        let data = json!({"number": 3, "failure": {"step": "Install\r\nBcc: evil@example.com", "message": "ü", "host": "web1", "reason": "TaskFailed"}});
        let due = due("deployment.failed", data);
        let mail = message(
            &due,
            "fastDeploy <deploy@example.com>",
            &["ops@example.com".into(), "anna@example.com".into()],
        )
        .unwrap();
        let receivers: Vec<String> = mail.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(receivers, ["ops@example.com", "anna@example.com"]);
        let text = String::from_utf8(mail.formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.com>"), "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    }

    #[test]
    fn no_address_is_no_e_mail() {
        let due = due("deployment.finished", json!({}));
        assert!(message(&due, "nobody", &["ops@example.com".into()]).unwrap_err().contains("from"));
        assert!(message(&due, "a@example.com", &["a@b\r\nRCPT TO:<evil@example.com>".into()]).is_err());
        assert!(message(&due, "a@example.com", &[]).is_err());
    }

    #[test]
    fn a_subject_is_cut_between_characters() {
        assert_eq!(cut("üüü", 2), "üü…");
        assert_eq!(cut("üüü", 3), "üüü");
    }
}
