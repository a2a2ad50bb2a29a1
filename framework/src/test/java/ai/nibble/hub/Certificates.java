package ai.nibble.hub;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Certificates that sign themselves, or have an authority of their own, made by the JDK's own tool,
 * as nobody else signs one for tests.
 */
public final class Certificates {
  private static final char[] PASSWORD = "changeit".toCharArray();

  private final KeyStore keys;

  private Certificates(KeyStore keys) {
    this.keys = keys;
  }

  /**
   * Makes one.
   *
   * @param store a file that is not there yet
   * @param names of the host, in the tool's words: {@code dns:localhost,ip:127.0.0.1}
   * @param more options of the tool, such as when it begins to be valid
   */
  public static Certificates make(Path store, String names, String... more)
      throws IOException, InterruptedException, GeneralSecurityException {
    List<String> options =
        new ArrayList<>(
            List.of(
                "-keyalg", "EC", "-dname", "CN=" + store.getFileName(), "-ext", "SAN=" + names));
    options.addAll(List.of(more));
    tool("-genkeypair", store, options);
    return load(store);
  }

  /**
   * Makes one that another signs, which is that of an authority: a client that trusts a certificate
   * itself does not look at its dates.
   *
   * @param store a file that is not there yet, likewise others beside it
   * @param more options of the tool for the one that is signed
   */
  public static Certificates signed(Path store, String names, String... more)
      throws IOException, InterruptedException, GeneralSecurityException {
    Path authority = store.resolveSibling(store.getFileName() + "-authority");
    Path root = store.resolveSibling("root.pem");
    Path request = store.resolveSibling("request.pem");
    Path reply = store.resolveSibling("reply.pem");
    make(authority, names, "-ext", "bc:c");
    make(store, names);
    tool("-exportcert", authority, List.of("-rfc", "-file", root.toString()));
    tool("-certreq", store, List.of("-file", request.toString()));
    List<String> options = new ArrayList<>(List.of("-rfc", "-ext", "SAN=" + names));
    options.addAll(List.of("-infile", request.toString(), "-outfile", reply.toString()));
    options.addAll(List.of(more));
    tool("-gencert", authority, options);
    Files.writeString(reply, Files.readString(reply) + Files.readString(root)); // the whole chain
    tool("-importcert", store, List.of("-noprompt", "-file", reply.toString()));
    return load(store);
  }

  private static void tool(String what, Path store, List<String> options)
      throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                what,
                "-alias",
                "key",
                "-storetype",
                "PKCS12",
                "-keystore",
                store.toString(),
                "-storepass",
                new String(PASSWORD)));
    command.addAll(options);
    Process tool = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(tool.getInputStream().readAllBytes());
    if (!tool.waitFor(60, TimeUnit.SECONDS) || tool.exitValue() != 0) {
      throw new IOException("keytool " + what + ": " + said);
    }
  }

  private static Certificates load(Path store) throws IOException, GeneralSecurityException {
    KeyStore keys = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(store)) {
      keys.load(in, PASSWORD);
    }
    return new Certificates(keys);
  }

  /** For a server that proves itself with it. */
  public SSLContext server() throws GeneralSecurityException {
    KeyManagerFactory factory =
        KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    factory.init(keys, PASSWORD);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(factory.getKeyManagers(), null, null);
    return context;
  }

  /** For a client that trusts it, or the authority that signed it, and nothing else. */
  public SSLContext trusting() throws GeneralSecurityException {
    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    try {
      trusted.load(null, null);
    } catch (IOException e) {
      throw new GeneralSecurityException(e); // nothing is read
    }
    Certificate[] chain = keys.getCertificateChain("key");
    trusted.setCertificateEntry("trusted", chain[chain.length - 1]);
    TrustManagerFactory factory =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, factory.getTrustManagers(), null);
    return context;
  }
}
