package clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Produces standard input, "key TAB value" lines, with the client's defaults (idempotent, acks=all).
 * Arguments: bootstrap, topic, partition, codec. Each record carries the header "row" with its line number.
 */
public final class ProduceLines {
    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("compression.type", args[3]);
        config.put("linger.ms", "5");
        int partition = Integer.parseInt(args[2]);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            String line;
            long row = 0;
            while ((line = in.readLine()) != null) {
                int tab = line.indexOf('\t');
                ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(args[1], partition,
                        line.substring(0, tab).getBytes(StandardCharsets.UTF_8),
                        line.substring(tab + 1).getBytes(StandardCharsets.UTF_8));
                record.headers().add("row", Long.toString(row++).getBytes(StandardCharsets.UTF_8));
                sent.add(producer.send(record));
            }
        }
        for (Future<RecordMetadata> future : sent) {
            future.get();
        }
        System.out.println(sent.size());
    }
}
