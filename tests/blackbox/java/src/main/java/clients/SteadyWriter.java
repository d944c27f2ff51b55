package clients;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * An idempotent producer that writes numbered records at a steady rate until its standard input ends. Prints
 * "K partition offset number" per acknowledgement, "F message" for a record given up, "END count" when it is done.
 * Arguments: bootstrap, topic, partitions, label, records per second.
 */
public final class SteadyWriter {
    private static final int TICK_MS = 20;

    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("linger.ms", "5");
        config.put("compression.type", "lz4");
        config.put("delivery.timeout.ms", "600000");
        config.put("reconnect.backoff.max.ms", "200");
        int partitions = Integer.parseInt(args[2]);
        long perTick = Math.max(1, Long.parseLong(args[4]) * TICK_MS / 1000);
        long number = 0;
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            while (System.in.available() == 0) {
                for (long i = 0; i < perTick; i++) {
                    send(producer, args[1], (int) (number % partitions), args[3], number);
                    number++;
                }
                System.out.flush();
                Thread.sleep(TICK_MS);
            }
        }
        System.out.println("END " + number);
        System.out.flush();
    }

    private static void send(
            KafkaProducer<byte[], byte[]> producer, String topic, int partition, String label, long number) {
        byte[] start = (label + ":" + number).getBytes(StandardCharsets.UTF_8);
        byte[] value = Arrays.copyOf(start, start.length + (int) (number * 37 % 1500));
        Arrays.fill(value, start.length, value.length, (byte) '.');
        producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
            if (error != null) {
                System.out.println("F " + number + " " + error);
            } else {
                System.out.println("K " + metadata.partition() + " " + metadata.offset() + " " + number);
            }
        });
    }
}
