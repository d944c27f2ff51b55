package clients;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A subscribing consumer. Prints "A p,p" on assignment, "R partition offset" per record, "C" after each
 * synchronous commit. Runs until killed. Arguments: bootstrap, topic, group.
 */
public final class GroupMember {
    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", args[2]);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("session.timeout.ms", "6000");
        config.put("heartbeat.interval.ms", "500");
        config.put("max.poll.records", "100");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[1]), new Announce());
            while (!Thread.interrupted()) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    System.out.println("R " + record.partition() + " " + record.offset());
                }
                if (!records.isEmpty()) {
                    consumer.commitSync();
                    System.out.println("C");
                }
                System.out.flush();
            }
        }
    }

    private static final class Announce implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            System.out.println("V");
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            StringBuilder line = new StringBuilder("A ");
            partitions.stream().map(TopicPartition::partition).sorted()
                    .forEach(p -> line.append(p).append(','));
            System.out.println(line);
            System.out.flush();
        }
    }
}
