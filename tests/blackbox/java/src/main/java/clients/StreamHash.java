package clients;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** SHA-256 over (key, value, headers) of one partition's records; the same rule as in dataset.py. */
final class StreamHash {
    private final MessageDigest digest;
    private long count;

    StreamHash() {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    void add(byte[] key, byte[] value, Headers headers) {
        part(key);
        part(value);
        Header[] all = headers.toArray();
        number(all.length);
        for (Header header : all) {
            part(header.key().getBytes(StandardCharsets.UTF_8));
            part(header.value());
        }
        count++;
    }

    long count() {
        return count;
    }

    private void part(byte[] bytes) {
        number(bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            digest.update(bytes);
        }
    }

    private void number(int value) {
        digest.update(ByteBuffer.allocate(4).putInt(value).array());
    }

    String value() {
        StringBuilder out = new StringBuilder().append(count).append(':');
        for (byte b : digest.digest()) {
            out.append(String.format("%02x", b));
        }
        return out.toString();
    }
}
