//! Metadata commands and images, as they come out of the Raft log and its snapshots.
//!
//! Owns: the promises of `broker::metadata::codec` and of the state machine about arbitrary bytes.
//! Never: judges a result.
//! Invariants: no panic; what decodes encodes to something that decodes to the same; whatever decodes can be applied.
//! Source: reliability.md 4.3.

use broker::metadata::codec::{decode_command, decode_image, encode_command, encode_image};
use broker::metadata::{Image, MetadataCommand, StateMachine};
use model::ids::MetaIndex;

/// The first byte chooses between a command and an image, the rest is decoded.
///
/// # Panics
/// If a promise of `broker::metadata::codec` is broken.
pub fn run(data: &[u8]) {
    let Some((choice, input)) = data.split_first() else {
        return;
    };
    if choice % 2 == 0 {
        command(input);
    } else {
        image(input);
    }
}

fn command(input: &[u8]) {
    let Ok(Some(command)) = decode_command(input) else {
        return;
    };
    let encoded = encode_command(&command).expect("a decoded command can be encoded");
    assert_eq!(
        decode_command(&encoded).as_ref(),
        Ok(&Some(command.clone()))
    );
    apply_twice(&Image::default(), &command);
}

/// A command that was committed is applied by every broker, even if it makes no sense (again).
fn apply_twice(image: &Image, command: &MetadataCommand) {
    let first = MetaIndex::new(image.index().get() + 1);
    let (image, _, _) = StateMachine::apply(image, first, command);
    let second = MetaIndex::new(image.index().get() + 1);
    let (image, _, _) = StateMachine::apply(&image, second, command);
    let encoded = encode_image(&image);
    let again = decode_image(&encoded).expect("an image that was reached decodes");
    assert_eq!(encode_image(&again), encoded);
}

fn image(input: &[u8]) {
    let Ok(image) = decode_image(input) else {
        return;
    };
    let encoded = encode_image(&image);
    let again = decode_image(&encoded).expect("an encoded image decodes");
    assert_eq!(encode_image(&again), encoded);
}
