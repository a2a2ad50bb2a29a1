package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Requests to a hub. Redirects are followed by hand: the token goes to the endpoint's own host
 * alone, encryption is never given up on the way, and no server sends this machine to itself or
 * into a private network that the endpoint is not in.
 */
final class HubHttp {
  private static final int MAX_REDIRECTS = 5;
  private static final int HTTP_RANGE_NOT_SATISFIABLE = 416;

  /** What Java's client says where a proxy answers otherwise than with a connection. */
  private static final Pattern TUNNEL = Pattern.compile("^Tunnel failed, got: (\\d+)");

  private final HubSettings settings;
  private final HttpClient client;
  private final HubRefusal refusal;

  HubHttp(HubSettings settings) {
    this.settings = settings;
    this.refusal = new HubRefusal(settings);
    this.client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(settings.patience().connect())
            .build();
  }

  /** An address of the endpoint's; {@code path} begins with a slash and is encoded. */
  URI uri(String path) {
    return URI.create(settings.endpoint() + path);
  }

  /**
   * Gets an answer with status 200 or 206, or 416 where a range was asked for.
   *
   * @param from the first byte wanted, 0 for all
   * @param id what is asked for, for messages
   * @return whose body the caller closes
   * @throws IOException where trying again may help
   * @throws InvalidInputException where it does not
   */
  HttpResponse<InputStream> get(URI uri, long from, HubId id)
      throws IOException, InterruptedException {
    URI at = uri;
    for (int hops = 0; hops <= MAX_REDIRECTS; hops++) {
      HttpRequest.Builder request = request(at).GET();
      if (from > 0) {
        request.header("Range", "bytes=" + from + "-");
      }
      HttpResponse<InputStream> response = send(request.build(), BodyHandlers.ofInputStream(), id);
      int status = response.statusCode();
      boolean range = from > 0 && (status == 206 || status == HTTP_RANGE_NOT_SATISFIABLE);
      if (status == 200 || range) {
        return response;
      }
      response.body().close();
      if (!isRedirect(status)) {
        if (!isEndpoint(at)) { // an address that was signed for some minutes: ask for another
          throw new IOException("where the hub redirects to answers " + status);
        }
        throw refusal.of(response, id);
      }
      at = next(at, response);
    }
    throw new InvalidInputException(
        id + ": " + settings.endpoint() + " redirects more than " + MAX_REDIRECTS + " times");
  }

  /**
   * Asks for the head of a file; redirects within the endpoint, of renamed repositories, are
   * followed, those to where the bytes lie are not: the first answer has what is wanted.
   */
  HttpResponse<Void> head(URI uri, HubId id) throws IOException, InterruptedException {
    URI at = uri;
    for (int hops = 0; hops <= MAX_REDIRECTS; hops++) {
      HttpRequest request = request(at).method("HEAD", HttpRequest.BodyPublishers.noBody()).build();
      HttpResponse<Void> response = send(request, BodyHandlers.discarding(), id);
      int status = response.statusCode();
      boolean known = response.headers().firstValue("X-Linked-Etag").isPresent();
      if (status == 200 || isRedirect(status) && known) {
        return response;
      }
      if (!isRedirect(status)) {
        throw refusal.of(response, id);
      }
      at = next(at, response);
    }
    throw new InvalidInputException(
        id + ": " + settings.endpoint() + " redirects more than " + MAX_REDIRECTS + " times");
  }

  /** Sends through the proxy that Java is told of, if there is one, and never around it. */
  private <T> HttpResponse<T> send(HttpRequest request, BodyHandler<T> handler, HubId id)
      throws IOException, InterruptedException {
    Optional<String> proxy = proxy(request.uri());
    try {
      HttpResponse<T> response = client.send(request, handler);
      if (response.statusCode() == HttpURLConnection.HTTP_PROXY_AUTH) {
        throw new InvalidInputException(
            id
                + ": the proxy "
                + proxy.orElse("on the way")
                + " asks for a name and a password (407), which Nibble does not give: use one that"
                + " asks for none, or fetch the model elsewhere and name its directory");
      }
      return response;
    } catch (ConnectException e) {
      String where =
          proxy
              .map(at -> " to the proxy " + at + " (https.proxyHost, https.proxyPort)")
              .orElse(" (is there a network? HF_ENDPOINT names a mirror)");
      throw (ConnectException) new ConnectException("no connection" + where).initCause(e);
    } catch (IOException e) {
      Matcher refused = TUNNEL.matcher(String.valueOf(e.getMessage()));
      if (!refused.find()) {
        throw e;
      }
      throw new IOException(
          "the proxy "
              + proxy.orElse("on the way")
              + " lets nothing through to "
              + request.uri().getHost()
              + " ("
              + refused.group(1)
              + ")",
          e);
    }
  }

  private static Optional<String> proxy(URI uri) {
    ProxySelector selector = ProxySelector.getDefault();
    return selector == null
        ? Optional.empty()
        : selector.select(uri).stream()
            .filter(proxy -> proxy.address() instanceof InetSocketAddress)
            .map(proxy -> (InetSocketAddress) proxy.address())
            .map(address -> address.getHostString() + ":" + address.getPort())
            .findFirst();
  }

  private HttpRequest.Builder request(URI uri) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri)
            .timeout(settings.patience().connect())
            .header("User-Agent", "nibble")
            .header("Accept-Encoding", "identity");
    if (isEndpoint(uri)) {
      settings.token().ifPresent(token -> request.header("Authorization", token.header()));
    }
    return request;
  }

  private boolean isEndpoint(URI uri) {
    URI endpoint = settings.endpoint();
    return endpoint.getScheme().equals(uri.getScheme())
        && endpoint.getHost().equalsIgnoreCase(uri.getHost())
        && endpoint.getPort() == uri.getPort();
  }

  private static boolean isRedirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  }

  private URI next(URI from, HttpResponse<?> response) {
    String location = response.headers().firstValue("Location").orElse("");
    URI to;
    try {
      to = from.resolve(URI.create(location));
    } catch (IllegalArgumentException e) {
      to = null;
    }
    boolean encrypted = to != null && "https".equals(to.getScheme());
    boolean asBefore =
        to != null && "http".equals(to.getScheme()) && "http".equals(from.getScheme());
    if (location.isEmpty() || !(encrypted || asBefore) || to.getHost() == null || isInside(to)) {
      String where =
          to == null ? "an address that cannot be read" : to.getScheme() + "://" + to.getHost();
      throw new InvalidInputException(
          settings.endpoint() + ": redirects to " + RepoPath.shown(where) + ", refused");
    }
    return to;
  }

  /** Whether an address is of this machine or a private network, and the endpoint is not. */
  boolean isInside(URI uri) {
    if (Objects.equals(uri.getHost(), settings.endpoint().getHost())) {
      return false;
    }
    try {
      InetAddress[] targets = InetAddress.getAllByName(uri.getHost());
      InetAddress endpoint = InetAddress.getByName(settings.endpoint().getHost());
      for (InetAddress target : targets) {
        boolean allowed =
            target.isLoopbackAddress()
                ? endpoint.isLoopbackAddress()
                : !isPrivate(target) || isPrivate(endpoint) || endpoint.isLoopbackAddress();
        if (!allowed || target.isLinkLocalAddress() || target.isAnyLocalAddress()) {
          return true;
        }
      }
      return false;
    } catch (UnknownHostException e) {
      return false; // a proxy may know it; else connecting says so
    }
  }

  /** 10/8, 172.16/12, 192.168/16, and fc00::/7 of IPv6. */
  private static boolean isPrivate(InetAddress address) {
    byte[] bytes = address.getAddress();
    return address.isSiteLocalAddress() || bytes.length == 16 && (bytes[0] & 0xfe) == 0xfc;
  }
}
