package clients;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads a whole topic and prints "partition count:sha256" per partition. Arguments: bootstrap, topic. */
public final class ReadHashes {
    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("max.poll.records", "10000");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> parts = new ArrayList<>();
            Map<Integer, StreamHash> hashes = new TreeMap<>();
            for (PartitionInfo info : consumer.partitionsFor(args[1])) {
                parts.add(new TopicPartition(args[1], info.partition()));
                hashes.put(info.partition(), new StreamHash());
            }
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            Map<TopicPartition, Long> ends = consumer.endOffsets(parts);
            while (parts.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    StreamHash hash = hashes.get(record.partition());
                    if (record.offset() != hash.count()) {
                        throw new IllegalStateException("offset " + record.offset() + " is not dense");
                    }
                    hash.add(record.key(), record.value(), record.headers());
                }
            }
            hashes.forEach((partition, hash) -> System.out.println(partition + " " + hash.value()));
        }
    }
}
