//! Takes out of a provider's message what a client must not see: keys, addresses, account ids.

const MARK: &str = "[redacted]";
/// Longer messages are cut: some servers answer with a whole page.
const MAX_CHARS: usize = 1000;
/// The shortest run of letters and digits that is taken for a key though it has no known prefix.
const MIN_KEY_CHARS: usize = 24;
const SECRET_PREFIXES: &[&str] = &[
    "sk-", "sk_", "pk-", "rk-", "org-", "proj_", "proj-", "key-", "gsk_", "xai-", "aiza", "akia",
    "asia", "ya29.", "eyj", "hf_", "bearer",
];

/// Redacts a message word by word; everything else stays as it came, control characters apart.
pub(crate) fn redact(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(MAX_CHARS));
    let mut after_bearer = false;
    for (count, word) in message.split_whitespace().enumerate() {
        if out.chars().count() + word.chars().count() > MAX_CHARS {
            out.push_str(" …");
            break;
        }
        if count > 0 {
            out.push(' ');
        }
        push_word(&mut out, word, after_bearer);
        after_bearer = trim(word).eq_ignore_ascii_case("bearer");
    }
    out
}

fn push_word(out: &mut String, word: &str, after_bearer: bool) {
    let core = trim(word);
    let secret = after_bearer || pieces(core).any(is_secret) || is_address(core);
    match word.find(core).filter(|_| secret && !core.is_empty()) {
        Some(at) => {
            out.push_str(&word[..at]);
            out.push_str(MARK);
            out.push_str(&word[at + core.len()..]);
        }
        None => out.extend(word.chars().filter(|c| !c.is_control())),
    }
}

fn trim(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && c != '*')
}

/// `api_key=sk-1` and `{"key":"sk-1"}` hide a key inside a word.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| "=:,;\"'`()[]{}<>/".contains(c))
}

fn is_secret(word: &str) -> bool {
    let has_prefix = SECRET_PREFIXES.iter().any(|prefix| {
        word.len() >= prefix.len() + 4
            && word.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
    });
    let runs_on = word.split(['-', '_', '.', '*']).any(|run| {
        run.len() >= MIN_KEY_CHARS
            && run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_alphabetic())
    });
    (has_prefix && word.bytes().any(|b| b.is_ascii_digit() || b == b'*')) || runs_on
}

/// URLs, IP addresses, names inside a cluster and those of AWS, which hold the account.
fn is_address(word: &str) -> bool {
    let host = word.split([':', '/']).next().unwrap_or(word);
    word.contains("://")
        || word.starts_with("arn:")
        || host.parse::<std::net::IpAddr>().is_ok()
        || host.ends_with(".svc")
        || host.contains(".svc.")
        || host.ends_with(".internal")
        || host.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_links_and_accounts_go_and_the_sense_stays() {
        for (message, expected) in [
            (
                "Incorrect API key provided: sk-abc1***xyz. See https://platform.example/keys.",
                "Incorrect API key provided: [redacted]. See [redacted].",
            ),
            (
                "Rate limit reached for gpt-4o in organization org-a1b2c3d4 on tokens per min.",
                "Rate limit reached for gpt-4o in organization [redacted] on tokens per min.",
            ),
            (
                "dial 10.0.0.7:8000 refused (vllm.models.svc:8000)",
                "dial [redacted] refused ([redacted])",
            ),
            (
                "bad header 'Authorization: Bearer abcdef'",
                "bad header 'Authorization: Bearer [redacted]'",
            ),
            ("got {\"key\":\"AIzaSy012345\"}", "got {\"[redacted]\"}"),
            (
                "claude-sonnet-4-5-20250929 does not take top_p",
                "claude-sonnet-4-5-20250929 does not take top_p",
            ),
            (
                "User: arn:aws:iam::111122223333:user/a is not authorized",
                "User: [redacted] is not authorized",
            ),
            ("messages.0: keep", "messages.0: keep"),
        ] {
            assert_eq!(redact(message), expected);
        }
    }

    #[test]
    fn long_and_odd_messages_are_bounded() {
        assert!(redact(&"word ".repeat(10_000)).chars().count() < 1_010);
        assert_eq!(redact("a\u{0}b\tc"), "ab c");
        assert_eq!(redact("\"''\" …"), "\"''\" …");
    }
}
