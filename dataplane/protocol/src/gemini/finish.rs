//! Why an answer ended, in Gemini's words.

use crate::message::Finish;

/// A finish reason in the model's terms. Gemini says `STOP` although there are calls.
pub(super) fn read(word: &str, has_calls: bool) -> Finish {
    match word {
        "STOP" if has_calls => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "LANGUAGE" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

/// The same for a client. Whatever else ended it, Gemini has a word that is close.
pub(super) fn word(finish: &Finish) -> &str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
        Finish::Other(word)
            if word
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_') =>
        {
            word
        }
        Finish::Other(_) => "OTHER",
    }
}
