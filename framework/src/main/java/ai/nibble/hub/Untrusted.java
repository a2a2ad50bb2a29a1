package ai.nibble.hub;

import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.Locale;
import javax.net.ssl.SSLException;

/**
 * Why an encrypted connection was not made, and what to do, in a person's words: Java's own name
 * its classes. None of it is gone around.
 */
final class Untrusted {
  private Untrusted() {}

  /** The reason and the remedy, for one line. */
  static String reason(SSLException e) {
    // first: where Java looks for a path it says that there is none, because of this
    if (isCausedBy(e, CertificateExpiredException.class)) {
      return "its certificate has expired: check this machine's clock, or wait until the server's"
          + " owner has renewed it";
    }
    if (isCausedBy(e, CertificateNotYetValidException.class)) {
      return "its certificate is not valid yet: check this machine's clock";
    }
    if (isCausedBy(e, CertPathBuilderException.class)) {
      return "nobody whom Java trusts vouches for its certificate; where a proxy signs for the"
          + " hub, add its certificate to Java's (-Djavax.net.ssl.trustStore)";
    }
    String said = String.valueOf(e.getMessage());
    for (Throwable t = e; t != null; t = t.getCause()) {
      said = t.getMessage() == null ? said : t.getMessage();
    }
    if (said.contains("No subject alternative") || said.contains("No name matching")) {
      return "its certificate is of another host: check the address in HF_ENDPOINT";
    }
    if (said.toLowerCase(Locale.ROOT).contains("unrecognized ssl message")) {
      return "the answer is not encrypted: check the address in HF_ENDPOINT, and the proxy if there"
          + " is one";
    }
    return said.replaceAll("\\p{Cntrl}+", " ") + ": check the address in HF_ENDPOINT";
  }

  private static boolean isCausedBy(Throwable e, Class<? extends Exception> cause) {
    for (Throwable t = e; t != null; t = t.getCause()) {
      if (cause.isInstance(t)) {
        return true;
      }
    }
    return false;
  }
}
