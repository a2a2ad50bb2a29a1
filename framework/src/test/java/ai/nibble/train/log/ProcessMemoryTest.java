package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class ProcessMemoryTest {
  @Test
  void theKernelsCountIsReadInBytes() {
    List<String> status = List.of("Name:\tjava", "VmHWM:\t    2048 kB", "VmRSS:\t    1024 kB");
    assertEquals(OptionalLong.of(1024 * 1024), ProcessMemory.parse(status, "VmRSS"));
    assertEquals(OptionalLong.of(2048 * 1024), ProcessMemory.parse(status, "VmHWM"));
    assertEquals(OptionalLong.empty(), ProcessMemory.parse(status, "VmSwap"));
    assertEquals(OptionalLong.empty(), ProcessMemory.parse(List.of("VmRSS:\tx kB"), "VmRSS"));
  }

  @Test
  void touchedMemoryIsCounted() {
    assumeTrue(Files.isReadable(Path.of("/proc/self/status")), "skipped: needs the kernel's count");
    long before = ProcessMemory.residentBytes();
    ByteBuffer block = ByteBuffer.allocateDirect(64 << 20);
    for (int i = 0; i < block.capacity(); i += 4096) {
      block.put(i, (byte) 1);
    }
    long after = ProcessMemory.residentBytes();
    // half, since the collector may return other memory meanwhile
    assertTrue(after - before > 32 << 20, "grew by " + (after - before));
    assertTrue(ProcessMemory.peakBytes() >= after - (1 << 20));
  }
}
