import java.io.File;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.SchemaStore;

/** Reads what Atrium writes as a program in Java would, with nothing of ours but the schemas; prints each datum as a line of JSON. */
public class ReadAvro {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  public static void main(String[] arguments) throws Exception {
    switch (arguments[0]) {
      case "export" -> export(new File(arguments[1]));
      case "events" -> events(Path.of(arguments[1]), Path.of(arguments[2]));
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }

  /** An object container file, with the schema that it brings. */
  private static void export(File file) throws Exception {
    try (var records = new DataFileReader<GenericRecord>(file, new GenericDatumReader<>())) {
      for (GenericRecord each : records) {
        OUT.println(each);
      }
    }
  }

  /** Single-object encoding, one event per line in hexadecimal; the schemas are found by the fingerprint that each event bears. */
  private static void events(Path schemas, Path file) throws Exception {
    var store = new SchemaStore.Cache();
    try (Stream<Path> paths = Files.walk(schemas)) {
      for (Path path : paths.filter(each -> each.toString().endsWith(".avsc")).toList()) {
        store.addSchema(new Schema.Parser().parse(path.toFile()));
      }
    }
    for (String line : Files.readAllLines(file)) {
      byte[] event = HexFormat.of().parseHex(line);
      Schema written = store.findByFingerprint(ByteBuffer.wrap(event, 2, 8).order(ByteOrder.LITTLE_ENDIAN).getLong());
      OUT.println(new BinaryMessageDecoder<GenericRecord>(GenericData.get(), written, store).decode(event));
    }
  }
}
