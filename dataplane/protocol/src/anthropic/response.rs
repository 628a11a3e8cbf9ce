//! stub
use crate::exchange::BadReply;
use crate::json::Object;
use crate::message::Answer;
pub(crate) fn read<'a>(_o: &Object<'a>) -> Result<Answer<'a>, BadReply> {
    Ok(Answer::default())
}
