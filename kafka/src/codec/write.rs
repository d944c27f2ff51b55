//! Writes primitives in both length regimes.
//!
//! Owns: [`Writer`].
//! Never: writes records; those stay where they are.
//! Invariants: texts and arrays fit their length field; callers bound them far below.
//! Source: kafka.md 2.1, KIP-482.

/// Appends to a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    is_flexible: bool,
}

impl<'a> Writer<'a> {
    /// Writes in the old regime.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            is_flexible: false,
        }
    }

    /// The same in the compact regime.
    pub(crate) fn flexible(mut self) -> Self {
        self.is_flexible = true;
        self
    }

    /// Bytes in the buffer so far.
    pub(crate) fn position(&self) -> usize {
        self.out.len()
    }

    /// A 16-bit number.
    pub(crate) fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// A 32-bit number.
    pub(crate) fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// A 64-bit number.
    pub(crate) fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Raw bytes without a length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// An unsigned number of one to five bytes.
    #[inline(always)]
    pub(crate) fn varint(&mut self, value: u32) {
        match u8::try_from(value) {
            // Nearly every number there is.
            Ok(byte) if byte < 0x80 => self.out.push(byte),
            Ok(_) | Err(_) => self.long_varint(value),
        }
    }

    fn long_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            let [.., low] = value.to_be_bytes();
            self.out.push(low | 0x80);
            value >>= 7;
        }
        let [.., low] = value.to_be_bytes();
        self.out.push(low);
    }

    /// The length of an array or byte string.
    #[inline(always)]
    pub(crate) fn length(&mut self, length: usize) {
        let fits = i32::try_from(length);
        assert!(fits.is_ok(), "a length fits 31 bits");
        let length = fits.unwrap_or(0);
        if self.is_flexible {
            self.varint(length.unsigned_abs() + 1);
        } else {
            self.raw(&length.to_be_bytes());
        }
    }

    /// A null array.
    pub(crate) fn null_array(&mut self) {
        if self.is_flexible {
            self.varint(0)
        } else {
            self.raw(&(-1_i32).to_be_bytes())
        }
    }

    /// Text. What does not fit the old regime's 15-bit length is cut; only messages can be that long.
    pub(crate) fn string(&mut self, text: &str) {
        if self.is_flexible {
            self.length(text.len());
            self.raw(text.as_bytes());
            return;
        }
        let text = cut(text, i16::MAX.unsigned_abs().into());
        self.raw(&i16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        self.raw(text.as_bytes());
    }

    /// Text or null.
    pub(crate) fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None if self.is_flexible => self.varint(0),
            None => self.raw(&(-1_i16).to_be_bytes()),
        }
    }

    /// No tagged fields, where the regime has them.
    pub(crate) fn end_struct(&mut self) {
        if self.is_flexible {
            self.out.push(0);
        }
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}
