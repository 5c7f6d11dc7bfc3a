# Start the runtime of a Ruby function: `ruby bootstrap.rb`.
#
# Loads the handler that _HANDLER names, then answers one invocation after the other on the
# private channel until the node closes it. Everything lives in one module, so that the
# function's own names are its own.

require 'json'

module LambdaboxBootstrap
  OWN_FILES = "#{__dir__}/".freeze
  NEXT = "\0\0\0\0N".b.freeze
  MAX_ERROR_TYPE = 256

  # What may come out of user code and is the invocation's failure, not the process's end.
  # SystemExit and signals are not among them.
  FAILURES = [StandardError, ScriptError, SystemStackError].freeze

  Invocation = Struct.new(
    :request_id, :deadline_ms, :invoked_arn, :trace_header,
    :client_context, :identity, :tenant_id, :payload
  )

  # The frames: a body length (4 bytes, big-endian), a type (1 byte), the body.
  class Channel
    def initialize(descriptor)
      @io = IO.for_fd(descriptor, 'r+b')
      @io.close_on_exec = true
      @io.sync = true
    end

    # The next invocation, or nil once the node has closed the channel.
    def receive
      head = @io.read(5)
      return nil if head.nil? || head.bytesize < 5

      length, kind = head.unpack('Na')
      body = @io.read(length)
      return nil if body.nil? || body.bytesize < length
      raise "the node sent a frame of unknown type #{kind.inspect}" unless kind == 'I'

      size = body.unpack1('N')
      fields = body.byteslice(4, size).force_encoding(Encoding::UTF_8).split("\0", -1)
      payload = body.byteslice((4 + size)..).force_encoding(Encoding::UTF_8)
      Invocation.new(*fields.first(7), payload)
    end

    def send(*frames)
      @io.write(frames.join)
    rescue Errno::EPIPE
      nil # the node is gone; the next read says so
    end
  end

  def self.frame(kind, body)
    [body.bytesize].pack('N') + kind + body.b
  end

  # The frame of a failed invocation (E) or init (X). This runtime sends no X-Ray cause.
  def self.error_frame(kind, error)
    head = "#{error[:errorType].delete("\0")[0, MAX_ERROR_TYPE]}\0".b
    frame(kind, [head.bytesize].pack('N') + head + JSON.generate(error).b)
  end

  # What a handler may ask about its invocation.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :identity,
                :client_context, :tenant_id, :function_name, :function_version,
                :memory_limit_in_mb, :log_group_name, :log_stream_name

    def initialize(invocation)
      @aws_request_id = invocation.request_id
      @invoked_function_arn = invocation.invoked_arn
      @deadline_ms = Integer(invocation.deadline_ms)
      @identity = parse(invocation.identity)
      @client_context = parse(invocation.client_context)
      @tenant_id = invocation.tenant_id.empty? ? nil : invocation.tenant_id
      @function_name = ENV.fetch('AWS_LAMBDA_FUNCTION_NAME', nil)
      @function_version = ENV.fetch('AWS_LAMBDA_FUNCTION_VERSION', nil)
      @memory_limit_in_mb = ENV.fetch('AWS_LAMBDA_FUNCTION_MEMORY_SIZE', nil)
      @log_group_name = ENV.fetch('AWS_LAMBDA_LOG_GROUP_NAME', nil)
      @log_stream_name = ENV.fetch('AWS_LAMBDA_LOG_STREAM_NAME', nil)
    end

    def get_remaining_time_in_millis
      now = Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond)
      [@deadline_ms - now, 0].max
    end

    private

    def parse(text)
      text.empty? ? nil : JSON.parse(text)
    end
  end

  # The method that `file.method` or `file.Module::Class.method` names. Whether it exists
  # shows when it is called, as on AWS.
  class Handler
    def initialize(name)
      parts = name.split('.', -1)
      unless [2, 3].include?(parts.size) && parts.none?(&:empty?)
        raise ArgumentError,
              "Invalid handler '#{name}': it must be FILE.METHOD or FILE.CLASS.METHOD, where " \
              'FILE is a Ruby file without .rb and METHOD a method of its top level or class'
      end
      @file = parts.first
      @owner = parts.size == 3 ? parts[1] : nil
      @method = parts.last
    end

    def load(root)
      require File.join(File.expand_path(root), @file)
    end

    def call(event, context)
      owner = @owner ? Kernel.const_get(@owner) : Kernel
      owner.send(@method, event: event, context: context)
    end
  end

  # Serves one function.
  class Server
    def initialize(descriptor)
      @channel = Channel.new(descriptor)
      @log = $stdout.dup # a function that closes its output still has a log
      @log.sync = true
    end

    def load(name, root)
      @handler = Handler.new(name)
      @handler.load(root)
      true
    rescue *FAILURES => e
      error = describe(e, 'Init')
      write("Init error when loading handler #{name}", error)
      @channel.send(LambdaboxBootstrap.error_frame('X', error))
      false
    end

    def run
      answer = ''.b
      while @channel.send(answer, NEXT) && (invocation = @channel.receive)
        answer = answer_to(invocation)
      end
    end

    private

    def answer_to(invocation)
      ENV['_X_AMZN_TRACE_ID'] = invocation.trace_header.empty? ? nil : invocation.trace_header
      result = @handler.call(JSON.parse(invocation.payload), Context.new(invocation))
      body = marshal(result)
      flush
      LambdaboxBootstrap.frame('R', body)
    rescue *FAILURES => e
      flush
      error = describe(e, 'Function')
      write('Error raised from handler method', error)
      LambdaboxBootstrap.error_frame('E', error)
    end

    # A file or StringIO is passed on as its bytes; everything else becomes JSON.
    def marshal(result)
      readable = result.is_a?(IO) || (defined?(StringIO) && result.is_a?(StringIO))
      readable ? result.read : result.to_json
    end

    def describe(failure, phase)
      {
        errorMessage: text(failure),
        errorType: "#{phase}<#{failure.class}>",
        stackTrace: (failure.backtrace || [])
          .reject { |line| line.start_with?(OWN_FILES) || line.start_with?('<internal:') }
          .map { |line| clean(line) }
      }
    end

    def text(failure)
      clean(failure.message.to_s)
    rescue *FAILURES
      "an unprintable #{failure.class}" # user code again: a `message` that raises
    end

    def clean(text)
      text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end

    # One log event: line feeds inside become carriage returns.
    def write(title, error)
      @log.write("#{title}\n#{JSON.pretty_generate(error)}".gsub("\n", "\r") << "\n")
    rescue SystemCallError, IOError
      nil # nobody reads the log any more
    end

    # The function may have put streams of its own in place, which may be broken.
    def flush
      [$stdout, $stderr].each do |stream|
        stream.flush
      rescue *FAILURES
        next
      end
    end
  end

  # Gems come from the function's bundle, then layers, then GEM_PATH as the user set it.
  def self.prepare_paths(root, layers, packages)
    version = RbConfig::CONFIG['ruby_version']
    $LOAD_PATH.unshift(root, *layers.map { |layer| File.join(layer, 'ruby', 'lib') })
    return unless defined?(Gem)

    gems = [File.join(root, 'vendor', 'bundle', 'ruby', version)]
    gems += layers.map { |layer| File.join(layer, 'ruby', 'gems', version) }
    gems += [ENV.fetch('GEM_PATH', nil), packages].compact
    ENV['GEM_PATH'] = gems.join(File::PATH_SEPARATOR)
    Gem.clear_paths
  end

  def self.main
    settings = ENV.to_h.select { |name, _| name.start_with?('LAMBDABOX_') }
    settings.each_key { |name| ENV.delete(name) }
    $stdout.sync = $stderr.sync = true
    root = ENV.fetch('LAMBDA_TASK_ROOT', Dir.pwd)
    layers = settings.fetch('LAMBDABOX_LAYER_PATHS', '/opt').split(File::PATH_SEPARATOR)
    prepare_paths(root, layers, settings['LAMBDABOX_RUNTIME_PACKAGES'])
    server = Server.new(Integer(settings.fetch('LAMBDABOX_CHANNEL_FD')))
    exit(1) unless server.load(ENV.fetch('_HANDLER', ''), root)
    server.run
  end
end

LambdaboxBootstrap.main
